"""A server that answers from a table and writes down what it was asked."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class FakeServer:
    """`answers` by method and path without the query: (status, document as JSON, or bytes)."""

    address: str = ""
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)


class _UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@contextmanager
def fake_server(socket_path: Path) -> Iterator[FakeServer]:
    """One that listens on a Unix socket."""
    fake = FakeServer(f"unix:{socket_path}")

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            fake.asked.append(
                Asked(self.command, self.path, dict(self.headers), self.rfile.read(length))
            )
            route = f"{self.command} {self.path.partition('?')[0]}"
            missing = {"code": 404, "type": "ResourceNotFoundException", "message": "not there"}
            status, document = fake.answers.get(route, (404, missing))
            body = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def address_string(self) -> str:
            return "unix"

        def log_message(self, format: str, *args: Any) -> None:
            """Silence: the tests read the command's own output."""

    with _UnixServer(str(socket_path), Handler) as server:
        # Its end is looked for more often than by default, since each test waits for it.
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join()
