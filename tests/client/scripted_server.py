"""A server that answers with the bytes of a script, one entry for each request, and writes down what it was sent."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Scripted:
    """`script`: what each request is answered with; None: the connection is closed instead."""

    script: list[bytes | None]
    address: str = ""
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0


def answer(status: int = 200, body: bytes = b"", *headers: str, is_kept: bool = True) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers]
    if not is_kept:
        lines.append("Connection: close")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(*pieces: bytes, is_whole: bool = True) -> bytes:
    chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]
    end = b"0\r\n\r\n" if is_whole else b""
    return b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join([*chunks, end])


@contextmanager
def scripted_server(*script: bytes | None) -> Iterator[Scripted]:
    listener = socket.create_server(("127.0.0.1", 0))
    scripted = Scripted(list(script), f"http://127.0.0.1:{listener.getsockname()[1]}")

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            scripted.connections += 1
            with connection:
                _serve(connection, scripted)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield scripted
    finally:
        # A thread in accept would hold the port.
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def _serve(connection: socket.socket, scripted: Scripted) -> None:
    received = b""
    while True:
        while b"\r\n\r\n" not in received:
            data = connection.recv(65536)
            if not data:
                return
            received += data
        head, _, rest = received.partition(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        while len(rest) < length:
            rest += connection.recv(65536)
        scripted.requests.append(head + b"\r\n\r\n" + rest[:length])
        received = rest[length:]
        reply = scripted.script.pop(0) if scripted.script else None
        if reply is None:
            return
        connection.sendall(reply)
        if b"\r\nConnection: close" in reply:
            return
