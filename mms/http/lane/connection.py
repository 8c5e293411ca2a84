"""The lane: the fast path of predictions.

An `asyncio.Protocol` that cuts requests out of a connection itself and has their heads judged by llhttp, strictly. It
serves prediction routes with an ordinary body. Any other request moves the connection, with what was read of it, to
aiohttp's protocol, which serves every route, predictions too; so the lane changes speed and nothing else.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, cast

from mms import faults
from mms.core import Request
from mms.core.request import Buffer
from mms.core.request_options import DEFAULT_OPTIONS, RequestOptions, add_options
from mms.errors import ServerError
from mms.http.answers import BODILESS_STATUSES
from mms.http.lane.account import LaneAccount
from mms.http.lane.body import GROWTH_BYTES, BodyReader
from mms.http.lane.front import LaneFront
from mms.http.lane.head import LaneHead
from mms.http.lane.lifetime import LaneLifetime
from mms.http.lane.request import LaneRequest
from mms.http.request_head import is_unfit
from mms.http.streams.lane import LaneStream
from mms.observe.recorder import request_line

if TYPE_CHECKING:
    from mms.core.streams.open_stream import OpenStream

#: Requests of one connection that may wait for their answers at once; more are not read until then.
_MAX_PIPELINED = 32
#: Bodies below this are joined with their head for one buffer; a larger one is not copied.
_JOIN_BYTES = 64 * 1024
#: Lines of the log that a connection keeps for its next request: clients choose how long they are.
_KEPT_CHARS = 512
#: What is missing of a body from here on is read straight to its place, past the loop's own buffers.
_DIRECT_BYTES = 64 * 1024


class LaneProtocol(LaneLifetime):
    """Cuts requests out of what one connection brings, and writes their answers in the order of the requests."""

    __slots__ = ("_line", "_line_head")

    def __init__(self, lane: LaneFront) -> None:
        super().__init__(lane, LaneAccount(lane.memory, self._on_room))
        #: Of the last answer in the access log, and the head that it is of.
        self._line = ""
        self._line_head: LaneHead | None = None

    # The transport's calls

    def data_received(self, data: bytes) -> None:
        if self._body is not None:
            data = self._take_body(self._body, data)
            if not data:
                return
        if self._is_closing or (self._pipeline and not self._pipeline[-1].is_kept_alive):
            # What comes after a request that ends the connection is not looked at.
            return
        if self._buffered:
            data = self._buffered + data
            self._buffered = b""
            self._read(data, is_continued=True)
        else:
            self._read(data)

    @faults.ends_connection
    def pause_writing(self) -> None:
        self._is_write_paused = True
        self._pause_reading()
        self._note_held()

    @faults.ends_connection
    def resume_writing(self) -> None:
        self._is_write_paused = False
        self._note_held()
        stream = self._first_stream
        if stream is not None:
            stream.go_on()
        self._resume_reading()

    # Reading

    def room_for_body(self, missing_bytes: int) -> int:
        """Return how much more of a large body may come. 0: nothing is read until all connections hold less."""
        account = self._account
        more = min(missing_bytes, max(self.body_filled, GROWTH_BYTES))
        if not account.limit.has_room(account.held_bytes, more):
            more = min(missing_bytes, GROWTH_BYTES)
            if account.must_wait(more):
                self.waiting_since = time.monotonic()
                self._pause_reading()
                return 0
        account.note(account.held_bytes + more)
        return more

    @faults.ends_connection
    def _on_room(self) -> None:
        self._account.restart_body()
        self._resume_reading()

    def _read(self, data: bytes, *, is_continued: bool = False) -> None:
        """Serve the requests in `data`; keep the rest for when more comes.

        `is_continued`: its begin came earlier, so the time for its head is running already.
        """
        start = 0
        size = len(data)
        while start < size:
            pipeline = self._pipeline
            if self._is_write_paused or (
                pipeline
                and (len(pipeline) >= _MAX_PIPELINED or not self._account.has_room_beside(pipeline))
            ):
                self._buffered = data[start:]
                self._pause_reading()
                return
            head = self._head
            if head is None or not data.startswith(head.raw, start):
                end = data.find(b"\r\n\r\n", start) + 4
                if end < 4:
                    self._buffered = data[start:]
                    if is_unfit(self._buffered):
                        self._hand_over(self._buffered)
                    elif start or not is_continued:
                        self.waiting_since = time.monotonic()
                    return
                raw = data[start:end]
                head = self._lane.heads.get(raw) or self._lane.learn(raw)
                if head is None:
                    # Also what is no HTTP request: aiohttp's side has the answer for it, and ends the connection.
                    self._hand_over(data[start:])
                    return
                self._head = head
            end = start + head.size_bytes
            request = LaneRequest(head, self, time.monotonic())
            pipeline.append(request)
            length = head.content_length
            start = end + length
            if length:
                if start > size:
                    self._begin_body(request, length, data, end)
                    return
                request.body = data[end:start]
            self._submit(request)
            if not request.is_kept_alive:
                break
        if len(self._lane.connections) == 1:
            self._lane.host.dispatch_due()

    def _begin_body(self, request: LaneRequest, length: int, data: bytes, start: int) -> None:
        filled = len(data) - start
        account = self._account
        self.body_filled = filled
        self._body_request = request
        self.waiting_since = time.monotonic()
        missing = length - filled
        if missing < _DIRECT_BYTES and account.limit.has_room(account.held_bytes, length):
            self._body = body = bytearray(length)
            body[:filled] = memoryview(data)[start:]
            self._note_held()
            return
        # A length costs nothing to announce: room for much comes with the bytes.
        self._body = bytearray()
        self._reader = reader = BodyReader(self, bytearray(memoryview(data)[start:]), length)
        self._note_held()
        self._transport.set_protocol(reader)
        reader.make_room()

    def take_direct(self, body: bytearray) -> None:
        """The body is complete, read straight to its place."""
        self._close_reader()
        self._transport.set_protocol(self)
        if self._is_closing:
            return
        self.body_filled = len(body)
        self._take_body(body, b"")

    def _take_body(self, body: bytearray, data: bytes) -> bytes:
        """Put what belongs to the body there; returns what comes after it."""
        filled = self.body_filled
        missing = len(body) - filled
        if len(data) < missing:
            body[filled : filled + len(data)] = data
            self.body_filled = filled + len(data)
            return b""
        body[filled:] = data[:missing] if len(data) > missing else data
        request = self._body_request
        self._body = None
        self._body_request = None
        if request is not None:
            request.body = body
            self._submit(request)
            if not request.is_kept_alive:
                return b""
        return data[missing:]

    def _submit(self, request: LaneRequest) -> None:
        try:
            if request.lane_head.body_options is not None:
                options = request.lane_head.body_options(request.headers, request.body)
                if not isinstance(options, RequestOptions):
                    reading = asyncio.ensure_future(options)
                    reading.add_done_callback(partial(self._submit_read, request))
                    return
                if options is not DEFAULT_OPTIONS:
                    add_options(request, options)
            self._lane.host.submit(request)
        except Exception as error:
            request.refuse(error)

    @faults.ends_connection
    def _submit_read(self, request: LaneRequest, reading: asyncio.Future[RequestOptions]) -> None:
        """The options of a body have been read that is too large for the event loop."""
        try:
            add_options(request, reading.result())
            if not request.is_done:
                self._lane.host.submit(request)
        except Exception as error:
            request.refuse(error)

    def _hand_over(self, data: bytes) -> None:
        """Move the connection to aiohttp's protocol, once this one owes no more answers."""
        if self._pipeline:
            self._buffered = data
            self._pause_reading()
            return
        transport = self._transport
        self._buffered = b""
        self._is_closing = True
        self._lane.forget(self)
        self._account.close()
        if self._is_read_paused:
            transport.resume_reading()
        protocol = self._lane.make_handler()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(data)
        if self.is_half_closed:
            protocol.eof_received()

    @faults.ends_connection
    def _resume_reading(self) -> None:
        """Go on with what was left unread, and read more, where nothing stands against it."""
        if not self._is_read_paused or self._is_closing or self._is_write_paused:
            return
        if self._account.must_wait() if self._reader is None else not self._reader.make_room():
            return
        self._is_read_paused = False
        self._transport.resume_reading()
        if self._buffered:
            data, self._buffered = self._buffered, b""
            self._read(data)

    # Answers

    def answer(
        self, request: Request, status: int, phrase: bytes, headers: bytes, body: Buffer
    ) -> None:
        # `cast` would be a call; nothing but a LaneRequest has this connection for its reply.
        lane_request: LaneRequest = request  # type: ignore[assignment]
        lane = self._lane
        head = lane_request.lane_head
        if head.answer_lines is not None:
            headers = head.answer_lines(request.id) + headers
        pipeline = self._pipeline
        if not (
            status == 200
            and len(pipeline) == 1
            and pipeline[0] is request
            and lane_request.is_kept_alive
            and len(body) < _JOIN_BYTES
            and not self.is_half_closed
        ):
            start = lane.answers.head(
                request.id, status, phrase, headers, len(body), lane_request.is_kept_alive
            )
            if status in BODILESS_STATUSES:
                body = b""
            self._send(lane_request, status, start, body)
            return
        # The usual case in one go; `_send` has the rules.
        data = lane.answers.whole(request.id, phrase, headers, body)
        self._transport.write(data)
        self._written_bytes += len(data)
        # Not before: a request whose answer could not be written is owed one.
        pipeline.clear()
        now = time.monotonic()
        lane.record(
            (
                now,
                self._line if head is self._line_head else self._new_line(head),
                status,
                now - request.received_at,
                request.name,
                request.version or "",
                request.span,
            )
        )
        self.waiting_since = now
        if self._account.held_bytes:
            self._note_held()
        if self._is_read_paused:
            self._resume_reading()

    def open_stream(
        self, request: Request, status: int, phrase: bytes, headers: bytes, stream: OpenStream
    ) -> LaneStream:
        lane_request = cast(LaneRequest, request)
        head = lane_request.lane_head
        if head.answer_lines is not None:
            headers = head.answer_lines(request.id) + headers
        return LaneStream(self, self._lane.answers, lane_request, (status, phrase, headers), stream)

    def is_first(self, request: LaneRequest) -> bool:
        """Return whether the answer to this request is the next one to be sent."""
        return bool(self._pipeline) and self._pipeline[0] is request

    def write_part(self, data: bytes) -> bool:
        """Write a part of the first answer. Returns whether the client takes what was written."""
        self._written_bytes += len(data)
        self._transport.write(data)
        return not self._is_write_paused

    def end_stream(self, request: LaneRequest, status: int, rest: list[Buffer]) -> None:
        """An answer is complete with these last bytes."""
        if request not in self._pipeline:
            # That failed once already.
            self.abort()
            return
        self._record(request, status)
        self._send_in_turn(request, rest)

    def fail(self, request: Request, error: ServerError) -> None:
        lane_request = cast(LaneRequest, request)
        if lane_request not in self._pipeline:
            # Its answer has begun, and what came next has failed: no more can be said.
            self.abort()
            return
        known = lane_request.lane_head
        lines = known.answer_lines(request.id) if known.answer_lines is not None else b""
        head, body = self._lane.answers.error(
            request.id, error, lane_request.is_kept_alive, known.error_form, lines
        )
        self._send(lane_request, error.http_status, head, body, error.message or "")

    def give_up(self) -> None:
        """The client cannot be told of a failure."""
        self.abort()

    def _send(
        self, request: LaneRequest, status: int, head: bytes, body: Buffer, problem: str = ""
    ) -> None:
        """`problem`: the message of an error of the front."""
        self._record(request, status, problem)
        if request.is_known and body:
            self._lane.memory.note_answer(request.name, len(body))
        if len(body) < _JOIN_BYTES:
            self._send_in_turn(request, [b"".join((head, body))])
        else:
            self._send_in_turn(request, [head, body])

    def _new_line(self, head: LaneHead) -> str:
        """Return what the access log has of a request, and keep it: the next one is the same, mostly."""
        line = request_line(self._remote, head.method, head.uri, head.protocol)
        if len(line) <= _KEPT_CHARS:
            self._line_head, self._line = head, line
        return line

    def _record(self, request: LaneRequest, status: int, problem: str = "") -> None:
        is_known = request.is_known
        model = request.name if is_known else ""
        version = (request.version or "") if is_known else ""
        now = time.monotonic()
        if status >= 400:
            self._lane.note_error(request.id, model, version, status, problem)
        self._lane.record(
            (
                now,
                self._new_line(request.lane_head),
                status,
                now - request.received_at,
                model,
                version,
                request.span,
            )
        )

    def _send_in_turn(self, request: LaneRequest, buffers: list[Buffer]) -> None:
        """Send an answer, or its rest, behind those to earlier requests, and what waits for it."""
        pipeline = self._pipeline
        is_large = len(buffers) > 1
        if not pipeline or pipeline[0] is not request:
            request.answered = buffers
            request.body = b""
            if is_large:
                self._note_held()
            return
        pipeline.popleft()
        self._write(request, buffers)
        while pipeline and not self._is_closing:
            waiting = pipeline[0].answered
            if waiting is None:
                first = pipeline[0].reply
                if isinstance(first, LaneStream):
                    first.come_first()
                break
            self._write(pipeline.popleft(), waiting)
        if self._account.held_bytes or is_large:
            self._note_held()
        if self._is_closing:
            return
        if pipeline:
            return
        if self.is_half_closed:
            self._end()
            return
        self.waiting_since = time.monotonic()
        if self._is_read_paused:
            self._resume_reading()

    def _write(self, request: LaneRequest, buffers: list[Buffer]) -> None:
        self._written_bytes += sum(map(len, buffers))
        if len(buffers) == 1:
            self._transport.write(buffers[0])
        else:
            self._transport.writelines(buffers)
        if not request.is_kept_alive:
            self._end()
