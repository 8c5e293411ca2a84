"""Records posted to an HTTP endpoint."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

from mms.text.answer_bodies import read_start
from mms.tracking.sink import Undelivered

#: Of a host, a port and a time in seconds. Raises OSError.
Connect = Callable[[str, int, float], socket.socket]

TIMEOUT_S = 10.0
#: Answers of a server that may take the same later.
_LATER = (408, 425, 429, 500, 502, 503, 504)
_SHOWN_CHARS = 200


class HttpSink:
    """Sends each record as a POST of `application/json`, over one connection that is kept.

    With `records_per_post` above 1 they go together as `application/x-ndjson`, a line for each.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
        records_per_post: int = 1,
        connect: Connect | None = None,
    ) -> None:
        """`connect`: makes the connection, in place of `socket.create_connection`. Raises ValueError for no address."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url} is not http://host[:port]/path, nor the same with https")
        self._host = parts.hostname
        self._port = parts.port
        self._is_tls = parts.scheme == "https"
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        #: Without what may be a secret in its query.
        self.address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        is_single = records_per_post <= 1
        media_type = "application/json" if is_single else "application/x-ndjson"
        self._headers = {"Content-Type": media_type, **(headers or {})}
        self._timeout_s = timeout_s
        self._records_per_post = max(records_per_post, 1)
        self._connect_to = connect
        self._connection: http.client.HTTPConnection | None = None

    def __repr__(self) -> str:
        return f"<HttpSink {self.address}>"

    def write(self, records: Sequence[bytes]) -> None:
        step = self._records_per_post
        for start in range(0, len(records), step):
            self._post(b"\n".join(records[start : start + step]), start)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _post(self, body: bytes, delivered: int) -> None:
        was_kept = self._connection is not None
        try:
            status, text = self._ask(body)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if was_kept and isinstance(error, http.client.RemoteDisconnected | ConnectionError):
                # The server had closed the idle connection, which is nobody's failure.
                self._post(body, delivered)
                return
            reason = f"{self.address}: {type(error).__name__}: {error}"
            raise Undelivered(reason, delivered, can_retry=True) from None
        if not 200 <= status < 300:
            reason = f"{self.address} answered {status}: {text[:_SHOWN_CHARS]}"
            raise Undelivered(reason, delivered, can_retry=status in _LATER)

    def _ask(self, body: bytes) -> tuple[int, str]:
        connection = self._connection
        if connection is None:
            connection = self._connection = self._connect()
        deadline = time.monotonic() + self._timeout_s
        connection.request("POST", self._target, body, self._headers)
        response = connection.getresponse()
        # The status has been given: what comes behind it, and how late, changes nothing.
        start = read_start(response.read1, deadline)
        if response.will_close or not start.is_whole:
            self.close()
        else:
            # Read to its end by `read1` it still counts as open, and the connection as in use.
            response.close()
        return response.status, start.data.decode("utf-8", "replace")

    def _connect(self) -> http.client.HTTPConnection:
        made: http.client.HTTPConnection
        if self._is_tls:
            made = http.client.HTTPSConnection(
                self._host,
                self._port,
                timeout=self._timeout_s,
                context=ssl.create_default_context(),
            )
        else:
            made = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        if self._connect_to is not None:
            connect = self._connect_to
            # TLS still asks for the name that the address has.
            made._create_connection = (  # type: ignore[attr-defined]
                lambda place, timeout_s, _: connect(place[0], place[1], timeout_s)
            )
        return made
