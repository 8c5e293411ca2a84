"""HTTP clients: `Client` for ordinary calls, `Wire` for exact bytes on one connection."""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import re
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from types import TracebackType
from typing import Any, TypeVar

ANSWER_TIMEOUT_S = 40.0
T = TypeVar("T")
HeaderItems = Mapping[str, str] | Iterable[tuple[str, str]]


def loopback_address(group: int, number: int) -> str:
    """An address of this machine's own for each client of a group, for servers that tell clients by it."""
    return str(IPv4Address(f"127.{group}.0.0") + number)


@dataclass(frozen=True)
class Address:
    """Where a listener is: TCP with or without TLS, or a Unix socket. `source`: the client's own address."""

    port: int = 0
    unix_path: str = ""
    is_tls: bool = False
    source: str = ""

    def connect(self, timeout_s: float = ANSWER_TIMEOUT_S) -> socket.socket:
        if self.unix_path:
            unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            unix.settimeout(timeout_s)
            unix.connect(self.unix_path)
            return unix
        source = (self.source, 0) if self.source else None
        plain = socket.create_connection(("127.0.0.1", self.port), timeout_s, source)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self.is_tls:
            return plain
        return _trusting_context().wrap_socket(plain, server_hostname="localhost")

    def setting(self) -> str:
        if self.unix_path:
            return f"unix:{self.unix_path}"
        return f"{'https' if self.is_tls else 'http'}://127.0.0.1:{self.port}"


def _trusting_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@dataclass(frozen=True)
class Reply:
    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    head: bytes = field(default=b"", repr=False)

    def header(self, name: str) -> str | None:
        """The value of the only header of that name, None without one."""
        values = self.all_headers(name)
        assert len(values) < 2, f"header {name} was sent {len(values)} times: {values}"
        return values[0] if values else None

    def all_headers(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")

    @property
    def status_text(self) -> str:
        """The text of a management answer."""
        return str(self.json()["status"])


class _Connection(http.client.HTTPConnection):
    def __init__(self, address: Address, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._address = address
        self._timeout_s = timeout_s

    def connect(self) -> None:
        self.sock = self._address.connect(self._timeout_s)


class Client:
    """One connection per call."""

    def __init__(self, address: Address) -> None:
        self.address = address

    def request(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        headers: HeaderItems | None = None,
        content_type: str | None = None,
        timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> Reply:
        """Send exactly the given headers besides Host and Content-Length."""
        items = list(headers.items() if isinstance(headers, Mapping) else headers or ())
        if content_type is not None:
            items.append(("Content-Type", content_type))
        payload = body.encode("utf-8") if isinstance(body, str) else body
        connection = _Connection(self.address, timeout_s)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in items:
                connection.putheader(name, value)
            if payload is not None or method in ("POST", "PUT"):
                connection.putheader("Content-Length", str(len(payload or b"")))
            connection.endheaders(payload)
            answer = connection.getresponse()
            return Reply(answer.status, answer.reason, tuple(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def get(self, path: str, **options: Any) -> Reply:
        return self.request("GET", path, **options)

    def post(self, path: str, body: bytes | str | None = None, **options: Any) -> Reply:
        return self.request("POST", path, body, **options)

    def put(self, path: str, **options: Any) -> Reply:
        return self.request("PUT", path, **options)

    def delete(self, path: str, **options: Any) -> Reply:
        return self.request("DELETE", path, **options)

    def options(self, path: str, **options: Any) -> Reply:
        return self.request("OPTIONS", path, **options)

    def post_json(self, path: str, value: object, **options: Any) -> Reply:
        return self.post(path, json.dumps(value), content_type="application/json", **options)

    def wire(self, timeout_s: float = ANSWER_TIMEOUT_S) -> Wire:
        return Wire(self.address, timeout_s)


class Wire:
    """One connection, exact bytes."""

    def __init__(self, address: Address, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        self.socket = address.connect(timeout_s)
        self._buffer = bytearray()

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def call(self, method: str, path: str, body: bytes | None = None, *header_lines: str) -> Reply:
        self.send(request_bytes(method, path, body, *header_lines))
        return self.read_reply(is_head=method == "HEAD")

    def read_reply(self, is_head: bool = False, skip_interim: bool = True) -> Reply:
        while True:
            head = self._read_until(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            matched = re.fullmatch(r"HTTP/1\.[01] (\d{3}) ?(.*)", lines[0])
            assert matched is not None, f"not a status line: {lines[0]!r}"
            headers = tuple(
                (name.strip(), value.strip())
                for name, _, value in (line.partition(":") for line in lines[1:] if line)
            )
            status = int(matched[1])
            is_interim = status < 200
            body = (
                b"" if is_head or is_interim or status in (204, 304) else self._read_body(headers)
            )
            if not is_interim or not skip_interim:
                return Reply(status, matched[2], headers, body, head)

    def is_closed_by_peer(self) -> bool:
        """Wait for the end of the stream. A reset counts as closed too."""
        try:
            received = self.socket.recv(4096)
        except ConnectionResetError:
            return True
        assert received == b"", f"more bytes came: {received[:200]!r}"
        return True

    def read_to_end(self) -> bytes:
        """All bytes up to an orderly end; a reset raises."""
        parts = [bytes(self._buffer)]
        self._buffer.clear()
        while part := self.socket.recv(65536):
            parts.append(part)
        return b"".join(parts)

    def _read_body(self, headers: tuple[tuple[str, str], ...]) -> bytes:
        by_name = {name.lower(): value for name, value in headers}
        if by_name.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while True:
                size = int(self._read_until(b"\r\n").split(b";")[0], 16)
                body += self._read_exactly(size + 2)[:-2]
                if size == 0:
                    return body
        assert "content-length" in by_name, f"no length in {headers}"
        return self._read_exactly(int(by_name["content-length"]))

    def _read_until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            self._fill(f"waiting for {mark!r}")
        return self._take(self._buffer.index(mark), len(mark))

    def _read_exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._fill(f"{size} bytes expected")
        return self._take(size)

    def _take(self, size: int, skipped: int = 0) -> bytes:
        found = bytes(self._buffer[:size])
        del self._buffer[: size + skipped]
        return found

    def _fill(self, why: str) -> None:
        received = self.socket.recv(65536)
        if not received:
            raise ConnectionError(f"closed, {why}, had {bytes(self._buffer[:200])!r}")
        self._buffer += received


def request_bytes(method: str, path: str, body: bytes | None = None, *header_lines: str) -> bytes:
    """One HTTP/1.1 request; Content-Length is added where there is a body."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *header_lines]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


@dataclass(frozen=True)
class Part:
    """One part of a multipart form."""

    name: str
    value: bytes
    filename: str | None = None
    content_type: str | None = None


def multipart(*parts: Part, boundary: str = "conformance-boundary") -> tuple[bytes, str]:
    """The body and the Content-Type of a multipart/form-data request."""
    body = b""
    for part in parts:
        disposition = f'form-data; name="{part.name}"'
        if part.filename is not None:
            disposition += f'; filename="{part.filename}"'
        body += f"--{boundary}\r\nContent-Disposition: {disposition}\r\n".encode()
        if part.content_type is not None:
            body += f"Content-Type: {part.content_type}\r\n".encode()
        body += b"\r\n" + part.value + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    return body, f"multipart/form-data; boundary={boundary}"


def in_parallel(calls: Iterable[Callable[[], T]]) -> list[T]:
    """Run the calls at the same time, each in a thread; results in the order of the calls."""
    listed = list(calls)
    with concurrent.futures.ThreadPoolExecutor(max_workers=len(listed)) as pool:
        futures = [pool.submit(call) for call in listed]
        return [future.result(timeout=ANSWER_TIMEOUT_S + 10) for future in futures]
