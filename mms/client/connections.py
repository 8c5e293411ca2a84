"""Blocking calls over TCP, TLS or a Unix socket. Connections are kept for the next call; any thread may call."""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator

from mms.client.answer import Answer, Call
from mms.client.errors import CertificateNotTrusted, DeadlineExceeded, ServerUnreachable
from mms.client.place import Place
from mms.text.address import Address

_PIECE_BYTES = 64 * 1024
#: Connections without a call that are kept, for each address.
_MOST_IDLE = 8


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Connections:
    """Those of one client."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._idle: dict[Address, list[http.client.HTTPConnection]] = {}
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<Connections {sum(map(len, self._idle.values()))} idle>"

    def send(self, call: Call) -> Answer:
        """Return the answer, whatever its status. Raises ServerUnreachable, DeadlineExceeded."""
        address = self._place.address(call)
        until = time.monotonic() + call.timeout_s
        connection = self._take(address, call.timeout_s)
        is_kept = False
        is_sent = False
        try:
            if connection.sock is None:
                connection.connect()
            is_sent = True
            connection.request(call.method, call.path, call.body, self._place.headers(call))
            _limit(connection, until)
            response = connection.getresponse()
            fields = {name.lower(): value for name, value in response.getheaders()}
            if call.is_streamed and response.status < 400:
                is_kept = True
                return Answer(
                    response.status,
                    fields,
                    pieces=self._pieces(address, connection, response, call.timeout_s),
                )
            body = _read(connection, response, until)
            if response.length not in (None, 0):
                raise http.client.IncompleteRead(body, response.length)
            if not response.will_close:
                is_kept = True
                self._give_back(address, connection)
            return Answer(response.status, fields, body)
        except (OSError, http.client.HTTPException) as error:
            raise _told(error, address, call.timeout_s, is_sent=is_sent) from None
        finally:
            if not is_kept:
                connection.close()

    def _pieces(
        self,
        address: Address,
        connection: http.client.HTTPConnection,
        response: http.client.HTTPResponse,
        timeout_s: float,
    ) -> Iterator[bytes]:
        """Each piece of a body as it comes. The connection is closed where not all of it is read."""
        is_whole = False
        try:
            while True:
                _limit(connection, time.monotonic() + timeout_s)
                piece = response.read1(_PIECE_BYTES)
                if not piece:
                    break
                yield piece
            if response.length not in (None, 0):
                raise http.client.IncompleteRead(b"", response.length)
            response.close()
            is_whole = not response.will_close
        except (OSError, http.client.HTTPException) as error:
            raise _told(error, address, timeout_s, is_sent=True) from None
        finally:
            if is_whole:
                self._give_back(address, connection)
            else:
                response.close()
                connection.close()

    def _take(self, address: Address, timeout_s: float) -> http.client.HTTPConnection:
        """Return a connection that is open, or one that is to be opened."""
        while True:
            with self._lock:
                idle = self._idle.get(address)
                connection = idle.pop() if idle else None
            if connection is None:
                return self._make(address, timeout_s)
            if connection.sock is not None and not _has_something_to_read(connection.sock):
                connection.sock.settimeout(timeout_s)
                return connection
            connection.close()

    def _make(self, address: Address, timeout_s: float) -> http.client.HTTPConnection:
        if address.scheme == "unix":
            return _UnixConnection(address.path, timeout_s)
        if not address.is_tls:
            return http.client.HTTPConnection(address.host, address.port, timeout=timeout_s)
        return http.client.HTTPSConnection(
            address.host, address.port, timeout=timeout_s, context=self._place.tls
        )

    def _give_back(self, address: Address, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            idle = self._idle.setdefault(address, [])
            is_kept = not self._is_closed and len(idle) < _MOST_IDLE
            if is_kept:
                idle.append(connection)
        if not is_kept:
            connection.close()

    def close(self) -> None:
        """Close what is idle; what is under way closes its connection when it is over."""
        with self._lock:
            self._is_closed = True
            idle = [each for found in self._idle.values() for each in found]
            self._idle.clear()
        for connection in idle:
            connection.close()


def _has_something_to_read(sock: socket.socket) -> bool:
    """Return whether an idle connection has ended: without a request nothing else comes."""
    # `select.select` takes no descriptor from 1024 on.
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _limit(connection: http.client.HTTPConnection, until: float) -> None:
    """Have what is read next come in time. Raises TimeoutError."""
    left_s = until - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    if connection.sock is not None:
        connection.sock.settimeout(left_s)


def _read(
    connection: http.client.HTTPConnection, response: http.client.HTTPResponse, until: float
) -> bytes:
    parts: list[bytes] = []
    while True:
        _limit(connection, until)
        part = response.read(_PIECE_BYTES)
        if not part:
            # Otherwise the connection takes it for one that is still read.
            response.close()
            return b"".join(parts)
        parts.append(part)


def _told(
    error: Exception, address: Address, timeout_s: float, *, is_sent: bool
) -> ServerUnreachable | DeadlineExceeded:
    if isinstance(error, ssl.SSLCertVerificationError):
        return CertificateNotTrusted(address, error.verify_message)
    if isinstance(error, TimeoutError):
        return DeadlineExceeded(f"{address} has not answered within {round(timeout_s, 2):g} s.")
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return ServerUnreachable(address, reason, is_unsent=not is_sent)
