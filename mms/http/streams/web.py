"""A stream on the aiohttp side."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from aiohttp import web

from mms.core import Request
from mms.core.request import Buffer
from mms.errors import ServerError
from mms.http.answers import BODILESS_STATUSES
from mms.http.streams.form import KEEP_ALIVE, KEEP_ALIVE_S, StreamForm, form_of
from mms.http.streams.reset import break_off
from mms.http.web.request import state_of
from mms.http.web.response import respond, stream_response
from mms.wire.streams import cost_of

if TYPE_CHECKING:
    from mms.core.streams.open_stream import OpenStream

#: What is sent by one write.
_WRITE_BYTES = 64 * 1024


class WebStream:
    """Takes the parts of an answer, which its route sends as fast as the client takes them."""

    def __init__(
        self,
        asked_by: web.Request,
        head: tuple[int, bytes, bytes],
        stream: OpenStream,
        form: StreamForm | None = None,
    ) -> None:
        """`form`: None for the one that the client asks for."""
        self._asked_by = asked_by
        self._head = head
        self._stream = stream
        accepts = [
            value.encode("latin-1", "replace") for value in asked_by.headers.getall("Accept", ())
        ]
        self._form = form_of(accepts, head[2]) if form is None else form
        self._parts: deque[Buffer] = deque()
        self._error: ServerError | None = None
        self._is_ended = False
        self._is_cut = False
        self._is_given_up = False
        self._has_news = asyncio.Event()
        #: Its head is sent, and a part.
        self._has_written = False
        #: Its route waits for the next part.
        self._is_silent = False

    # The request's calls

    def chunk(self, request: Request, body: Buffer) -> None:
        self._parts.append(body)
        self._has_news.set()

    def end(self, request: Request) -> None:
        self._is_cut = bool(request.deadline) and time.monotonic() >= request.deadline
        self._is_ended = True
        self._has_news.set()

    def answer(
        self, request: Request, status: int, phrase: bytes, headers: bytes, body: Buffer
    ) -> None:
        raise RuntimeError("an answer behind the begin of a stream")

    def fail(self, request: Request, error: ServerError) -> None:
        self._error = error
        self._is_ended = True
        self._has_news.set()

    def give_up(self) -> None:
        self._is_given_up = self._is_ended = True
        self._has_news.set()

    # The route's

    async def send(self) -> web.StreamResponse:
        """Send all of it. Raises ConnectionError where the client is gone."""
        status, phrase, headers = self._head
        asked_by = self._asked_by
        if asked_by.method == "HEAD" or status in BODILESS_STATUSES:
            self._stream.close()
            return respond(status, phrase or None, headers, b"")
        response = stream_response(asked_by, status, phrase or None, self._form.headers(headers))
        state_of(asked_by).begin_answer(self._probe)
        await response.prepare(asked_by)
        while True:
            await self._send_parts(response.write)
            if self._is_ended:
                break
            self._has_news.clear()
            self._is_silent = self._has_written
            try:
                await asyncio.wait_for(self._has_news.wait(), self._silence_s)
            except asyncio.TimeoutError:
                self._is_silent = False
                await response.write(KEEP_ALIVE)
                self._has_written = True
            finally:
                self._is_silent = False
        if self._error is not None or self._is_given_up:
            told = self._form.error(self._error) if self._error is not None else None
            if told is None:
                break_off(asked_by)
                return response
        else:
            told = self._form.end(is_cut=self._is_cut)
        if told:
            await response.write(told)
        await response.write_eof()
        return response

    def _probe(self) -> None:
        """Send something that says nothing, for a client that may be gone."""
        transport = self._asked_by.transport
        if transport is not None and self._is_silent:
            transport.write(self._form.probe(is_chunked=self._asked_by.version >= (1, 1)))

    @property
    def _silence_s(self) -> float | None:
        return KEEP_ALIVE_S if self._form.is_events else None

    async def _send_parts(self, write: Callable[[bytes], Awaitable[None]]) -> None:
        parts = self._parts
        while parts:
            cost = 0
            data = b""
            # What has come meanwhile goes by one write.
            while parts and len(data) < _WRITE_BYTES:
                body = parts.popleft()
                cost += cost_of(body)
                data += self._form.chunk(body)
            await write(data)
            self._has_written = True
            self._stream.taken(cost)
