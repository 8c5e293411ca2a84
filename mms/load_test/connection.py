"""One connection of HTTP/1.1 with one request under way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import cast

import httptools

from mms.load_test.results import CONNECTION_LOST, NOT_HTTP

_FIRST_FINAL_STATUS = 200
#: A longer head is none.
_MOST_HEAD_BYTES = 1024 * 1024
#: What is kept of an answer's body; a server may never end one.
_MOST_BODY_BYTES = 64 * 1024 * 1024


class LoadConnection(asyncio.Protocol):
    """Sends what it is given, and says what came of it: an answer, or the end of the connection."""

    def __init__(
        self,
        on_start: Callable[[LoadConnection], None],
        on_answer: Callable[[LoadConnection, int, bytes], None],
        on_end: Callable[[LoadConnection, str], None],
        has_bodies: bool,
    ) -> None:
        """`has_bodies`: whether `on_answer` wants the answers' bodies; else it gets empty ones."""
        self._on_start = on_start
        self._on_answer = on_answer
        self._on_end = on_end
        self._has_bodies = has_bodies
        self._transport: asyncio.Transport | None = None
        self._body = bytearray()
        self._head_bytes = 0
        self._is_framed = self._has_head = False
        self._problem = CONNECTION_LOST
        self.is_busy = False
        #: Of the request under way: when it was due and when it was sent, of `time.perf_counter()`.
        self.due_s = self.sent_s = 0.0
        self.received_bytes = 0
        self.is_reusable = True

    def send(self, request: bytes, due_s: float) -> None:
        assert self._transport is not None
        self.is_busy = True
        self.due_s, self.sent_s = due_s, time.perf_counter()
        self._transport.write(request)

    def abort(self) -> None:
        self.is_reusable = False
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        self.is_reusable = False
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._on_start(self)

    def data_received(self, data: bytes) -> None:
        self.received_bytes += len(data)
        if self._parser is None:
            return
        if not self._has_head:
            # Data may be more than a head; what a server sends in one piece is less than the limit.
            self._head_bytes += len(data)
            if self._head_bytes > _MOST_HEAD_BYTES:
                self._problem = NOT_HTTP
                self.abort()
                return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._problem = NOT_HTTP
            self.abort()

    def eof_received(self) -> None:
        if self.is_busy and self._has_head and not self._is_framed:
            # The end of the connection is the end of such an answer.
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_reusable = False
        # It refers to this connection.
        self._parser = None
        self._on_end(self, self._problem)

    def on_header(self, name: bytes, _value: bytes) -> None:
        if len(name) in (14, 17) and name.lower() in (b"content-length", b"transfer-encoding"):
            self._is_framed = True

    def on_headers_complete(self) -> None:
        self._has_head = True
        self._head_bytes = 0

    def on_body(self, data: bytes) -> None:
        if self._has_bodies and len(self._body) < _MOST_BODY_BYTES:
            self._body += data

    def on_message_complete(self) -> None:
        assert self._parser is not None
        if self._parser.get_status_code() < _FIRST_FINAL_STATUS:
            self._has_head = self._is_framed = False
            return
        self._finish()

    def _finish(self) -> None:
        assert self._parser is not None
        if not self.is_busy:
            self._problem = NOT_HTTP
            self.abort()
            return
        status = self._parser.get_status_code()
        body = bytes(self._body)
        self._body.clear()
        if not (self._is_framed and self._parser.should_keep_alive()):
            self.close()
        self._has_head = self._is_framed = self.is_busy = False
        self._on_answer(self, status, body)
