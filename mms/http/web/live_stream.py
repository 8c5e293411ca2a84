"""Answers that go on until their client has enough of them: a log that is followed, a page that shows what changes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

from aiohttp import web

from mms.errors import ServiceUnavailable
from mms.http.web.response import streamed_response

EVENT_STREAM: Final = "text/event-stream"
#: How often a client hears something, so that nobody between takes the connection for dead, in seconds.
_KEEP_ALIVE_S: Final = 15.0
#: For a client to take what it was sent, in seconds.
_READER_S: Final = 30.0


def accepts_events(request: web.Request) -> bool:
    """Return whether the client asks for events, as a browser's `EventSource` does."""
    accepted = ",".join(request.headers.getall("Accept", ()))
    kinds = (part.partition(";")[0].strip().lower() for part in accepted.split(","))
    return EVENT_STREAM in kinds


class LiveStream:
    """One of them. `wake` is called, from the event loop, when there may be something to send."""

    def __init__(
        self,
        request: web.Request,
        response: web.StreamResponse,
        keep_alive: bytes,
        may_go_on: Callable[[web.Request], bool],
    ) -> None:
        self._request = request
        self._response = response
        self._keep_alive = keep_alive
        self._may_go_on = may_go_on
        self._woken = asyncio.Event()
        self._sent_at = time.monotonic()
        self.is_over = False

    def __repr__(self) -> str:
        return f"<LiveStream {self._request.path}>"

    def wake(self) -> None:
        self._woken.set()

    def end(self) -> None:
        """Have `wait` return False."""
        self.is_over = True
        self._woken.set()

    async def wait(self) -> bool:
        """Wait until `wake` is called; return False where the stream is to end instead.

        It ends with the server, and with the key that it was begun with.
        """
        while not self._woken.is_set() and not self.is_over:
            # Counted from what was sent: what wakes it may be nothing for this client.
            silent_s = time.monotonic() - self._sent_at
            try:
                await asyncio.wait_for(self._woken.wait(), max(_KEEP_ALIVE_S - silent_s, 0))
            except asyncio.TimeoutError:
                if not self._may_go_on(self._request):
                    return False
                await self.send(self._keep_alive)
        self._woken.clear()
        return not self.is_over and self._may_go_on(self._request)

    async def send(self, data: bytes) -> None:
        """Send some bytes. A client that does not take them in time is cut off: raises ConnectionResetError."""
        self._sent_at = time.monotonic()
        try:
            await asyncio.wait_for(self._response.write(data), _READER_S)
        except asyncio.TimeoutError:
            if self._request.transport is not None:
                self._request.transport.abort()
            raise ConnectionResetError("the client takes nothing") from None


class LiveStreams:
    """All of them: there are at most so many, and the end of the server ends them."""

    def __init__(
        self, most: int, may_go_on: Callable[[web.Request], bool] = lambda request: True
    ) -> None:
        """`may_go_on`: whether the client of a stream may see more of it."""
        self._most = most
        self._may_go_on = may_go_on
        self._open: set[LiveStream] = set()
        self._is_ending = False

    def __repr__(self) -> str:
        return f"<LiveStreams {len(self._open)} of {self._most}>"

    @contextlib.asynccontextmanager
    async def open(
        self, request: web.Request, content_type: str = EVENT_STREAM
    ) -> AsyncIterator[tuple[LiveStream, web.StreamResponse]]:
        """Begin an answer, and end it in order. Raises ServiceUnavailable where there are as many as may be."""
        if self._is_ending:
            raise ServiceUnavailable("The server is shutting down.", retry_after_s=1)
        if len(self._open) >= self._most:
            raise ServiceUnavailable(
                f"{self._most} clients follow this server already.", retry_after_s=10
            )
        response = streamed_response(content_type)
        keep_alive = b":\n\n" if content_type == EVENT_STREAM else b"\n"
        stream = LiveStream(request, response, keep_alive, self._may_go_on)
        self._open.add(stream)
        try:
            await response.prepare(request)
            # Clients go as they please: that is no error of the server's, and nothing for its log.
            with contextlib.suppress(ConnectionError):
                yield stream, response
                await response.write_eof()
        finally:
            self._open.discard(stream)

    def end(self) -> None:
        """The server stops."""
        self._is_ending = True
        for stream in self._open:
            stream.end()
