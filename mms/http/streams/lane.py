"""A stream on the lane."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

from mms import faults
from mms.core import Request
from mms.core.request import Buffer
from mms.errors import ServerError
from mms.http.answers import BODILESS_STATUSES
from mms.http.lane.request import LaneRequest
from mms.http.streams.form import (
    KEEP_ALIVE,
    KEEP_ALIVE_S,
    LAST_CHUNK,
    accepts_of,
    form_of,
    http_chunk,
)
from mms.wire.streams import cost_of

if TYPE_CHECKING:
    from mms.core.streams.open_stream import OpenStream
    from mms.http.answers import Answers


class StreamingConnection(Protocol):
    """A connection of the lane, as a stream sees it."""

    def is_first(self, request: LaneRequest) -> bool:
        """Return whether the answer to this request is the next one to be sent."""

    def write_part(self, data: bytes) -> bool:
        """Write a part of the first answer. Returns whether the client takes what was written."""

    def end_stream(self, request: LaneRequest, status: int, rest: list[Buffer]) -> None:
        """An answer is complete with these last bytes."""

    def fail(self, request: Request, error: ServerError) -> None: ...

    def abort(self) -> None: ...

    def reset(self) -> None:
        """End it as nobody takes for a good end."""


class LaneStream:
    """Takes the parts of an answer. They wait while earlier requests of the connection have no answer.

    Parts that come in one turn of the event loop are written together: the system call costs more than all else.
    """

    def __init__(
        self,
        connection: StreamingConnection,
        answers: Answers,
        request: LaneRequest,
        head: tuple[int, bytes, bytes],
        stream: OpenStream,
    ) -> None:
        status, phrase, headers = head
        self._connection = connection
        self._request = request
        self._stream = stream
        # Kept, as Python 3.11 asks the system for the process's number each time.
        self._loop = asyncio.get_running_loop()
        self._status = status
        self._form = form_of(accepts_of(request.headers), headers)
        self._has_body = status not in BODILESS_STATUSES
        self._is_chunked = self._has_body and request.lane_head.protocol == "HTTP/1.1"
        if self._has_body and not self._is_chunked:
            # HTTP/1.0 knows the end of a body without a length by that of the connection.
            request.is_kept_alive = False
        if self._has_body:
            begin = answers.stream_head(
                request.id,
                status,
                phrase,
                self._form.headers(headers),
                is_chunked=self._is_chunked,
                is_kept_alive=request.is_kept_alive,
            )
        else:
            begin = answers.head(request.id, status, phrase, headers, 0, request.is_kept_alive)
        #: What waits for earlier answers or for the end of this turn of the loop, and the credit that it has used.
        self._waiting: list[Buffer] = [begin]
        self._untaken = 0
        #: Earlier answers are sent: nothing but this turn of the loop is waited for.
        self._has_come_first = False
        self._is_write_due = False
        self._written_at = time.monotonic()
        if connection.is_first(request):
            self.come_first()

    def __repr__(self) -> str:
        return f"<LaneStream of {self._request!r}>"

    @property
    def held_bytes(self) -> int:
        """What waits here."""
        return sum(map(len, self._waiting))

    # The request's calls

    def chunk(self, request: Request, body: Buffer) -> None:
        cost = cost_of(body)
        if not self._has_body:
            self._stream.taken(cost)
            return
        data = self._form.chunk(body)
        self._untaken += cost
        self._add(http_chunk(data) if self._is_chunked else data)

    def end(self, request: Request) -> None:
        self._end_with(LAST_CHUNK if self._is_chunked else b"")

    def _end_with(self, last: bytes) -> None:
        rest = b"".join([*self._waiting, last])
        self._waiting.clear()
        self._connection.end_stream(self._request, self._status, [rest])

    def answer(
        self, request: Request, status: int, phrase: bytes, headers: bytes, body: Buffer
    ) -> None:
        raise RuntimeError("an answer behind the begin of a stream")

    def fail(self, request: Request, error: ServerError) -> None:
        if not self._has_come_first:
            self._waiting.clear()
            self._connection.fail(request, error)
            return
        told = self._form.error(error)
        if told is None and not self._is_chunked:
            # The end of the connection would be a good end of the body.
            self._write_waiting()
            self._connection.reset()
            return
        if told is None:
            # A body without its last chunk is all that tells the client; what came before it, it still gets.
            self._request.is_kept_alive = False
            self._end_with(b"")
            return
        self._add(http_chunk(told) if self._is_chunked else told)
        self.end(request)

    def give_up(self) -> None:
        self._waiting.clear()
        self._connection.abort()

    # The connection's

    def come_first(self) -> None:
        """The answers before this one are sent."""
        self._has_come_first = True
        self._write_soon()

    def go_on(self) -> None:
        """The client has taken what was written."""
        untaken, self._untaken = self._untaken, 0
        if untaken:
            self._stream.taken(untaken)

    def probe(self) -> None:
        """Send something that says nothing, for a client that may be gone."""
        data = self._form.probe(is_chunked=self._is_chunked) if self._has_body else b""
        if data and self._has_come_first and not self._waiting:
            self._write(data)

    def check_time(self, now: float) -> None:
        """Keep a connection alive on which nothing is sent. To be called at intervals."""
        if (
            self._form.is_events
            and self._has_body
            and self._has_come_first
            and now - self._written_at > KEEP_ALIVE_S
        ):
            self._add(http_chunk(KEEP_ALIVE) if self._is_chunked else KEEP_ALIVE)

    def _add(self, data: bytes) -> None:
        self._waiting.append(data)
        if self._has_come_first and not self._is_write_due:
            self._write_soon()

    def _write_soon(self) -> None:
        self._is_write_due = True
        self._loop.call_soon(self._write_waiting)

    @faults.contained("stream")
    def _write_waiting(self) -> None:
        self._is_write_due = False
        # Else its end has taken what waited, or the connection has ended.
        if self._waiting and self._connection.is_first(self._request):
            data = b"".join(self._waiting)
            self._waiting.clear()
            try:
                self._write(data)
            except Exception as fault:
                self._request.replace_answer(fault)
                self._stream.close()

    def _write(self, data: bytes) -> None:
        self._written_at = time.monotonic()
        if self._connection.write_part(data):
            self.go_on()
