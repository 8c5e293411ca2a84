"""ModelStreamInfer: each message is a request of its own, answered as soon as its model has."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from mms import faults
from mms.bodies.protobuf_wire import field
from mms.core import Request
from mms.core.request import Buffer
from mms.errors import CLIENT_CLOSED_REQUEST, UNAVAILABLE, ServerError, UnexpectedError
from mms.grpc.call import Call
from mms.grpc.status import OK, Status, status_of
from mms.interfaces.oip.front.requests.infer_head import InferHead, read_infer_head
from mms.wire.streams import cost_of

if TYPE_CHECKING:
    from mms.core.streams.open_stream import OpenStream

#: Of one stream: requests under way, and what they may come to, before no more of its messages are taken.
_MOST_UNDER_WAY: Final = 64
_MOST_BYTES: Final = 16 * 2**20

_ERROR_MESSAGE: Final = 1 << 3 | 2
_INFER_RESPONSE: Final = 2 << 3 | 2
_ID: Final = 3 << 3 | 2
#: By the parameter `triton_final_response`, true, clients know the last answer to a request.
_FINAL: Final = field(4 << 3 | 2, field(0x0A, b"triton_final_response"), field(0x12, b"\x08\x01"))

_NOT_FINAL: Final = field(
    4 << 3 | 2, field(0x0A, b"triton_final_response"), field(0x12, b"\x08\x00")
)
#: A parameter by which a client says that it counts on an end, also where it has no answer with it.
_LOOKED_AT: Final = 4096
_EMPTY_END: Final = b"triton_enable_empty_final_response"

#: Has a model answer a message of a stream. Raises ServerError.
Submit = Callable[[Call, Buffer, InferHead, "StreamReply"], Request]


class InferStream:
    """The requests of one call. A wrong one gets its error in the stream, which goes on."""

    def __init__(self, call: Call, submit: Submit, cancel: Callable[[Request], None]) -> None:
        self._call = call
        self._submit = submit
        self._cancel = cancel
        self._replies: dict[StreamReply, Request | None] = {}
        #: What the client has yet to take, and of which streams it is.
        self._untaken: list[tuple[OpenStream, int]] = []
        self._has_messages = False
        self._is_half_closed = False
        self._is_leaving = False
        call.on_cancel = self._cancel_all

    def __repr__(self) -> str:
        return f"<InferStream, {len(self._replies)} requests under way>"

    def message(self, body: Buffer) -> None:
        reply = StreamReply(self, len(body))
        try:
            try:
                head = read_infer_head(body)
                reply.client_id = head.id
                # Near the begin of the message; what stands there by chance costs an empty answer more.
                reply.wants_empty_end = _EMPTY_END in bytes(body[:_LOOKED_AT])
            finally:
                self._charge()
            self._replies[reply] = None
            self._take(len(body))
            request = self._submit(self._call, body, head, reply)
            if reply in self._replies:
                self._replies[reply] = request
        except ServerError as error:
            self.fail(reply, error)
        except Exception as error:
            faults.note("request", error, request_ids=(self._call.id,))
            self.fail(reply, UnexpectedError(self._call.id))

    def _charge(self) -> None:
        """Count a message, good or broken. The first one is the call's, which is counted. Raises TooManyRequests."""
        if self._has_messages:
            self._call.charge()
        self._has_messages = True

    def half_closed(self) -> None:
        self._is_half_closed = True
        self._end_if_done()

    def leave(self) -> None:
        self._is_leaving = True
        self._end_if_done()

    def answer(self, reply: StreamReply, status: int, body: Buffer) -> None:
        """Send the answer to a request."""
        self._call.send(field(_INFER_RESPONSE, _FINAL, body))
        self._done(reply, status)

    def send_part(self, body: Buffer, source: OpenStream) -> None:
        """Send an answer that is not the last one to its request."""
        call = self._call
        call.send(field(_INFER_RESPONSE, _NOT_FINAL, body))
        cost = cost_of(body)
        if not call.outgoing:
            source.taken(cost)
            return
        self._untaken.append((source, cost))
        call.on_taken = self._on_taken

    def _on_taken(self) -> None:
        """The client has taken what was sent."""
        if not self._call.outgoing:
            untaken, self._untaken = self._untaken, []
            for source, cost in untaken:
                source.taken(cost)

    def end_parts(self, reply: StreamReply, request: Request, body: Buffer | None) -> None:
        """Send the last answer to a request, or where there is none, an empty one to clients that ask for it."""
        if body is not None:
            self._call.send(field(_INFER_RESPONSE, _FINAL, body))
        elif reply.wants_empty_end:
            id = reply.client_id.encode("utf-8", "replace")
            name = reply.model.encode("utf-8", "replace")
            version = reply.version.encode("utf-8", "replace")
            parts = [field(1 << 3 | 2, name), field(2 << 3 | 2, version), field(_ID, id)]
            self._call.send(field(_INFER_RESPONSE, _FINAL, *parts))
        self._done(reply, 200)

    def fail(self, reply: StreamReply, error: ServerError) -> None:
        """Send why a request has no answer."""
        status = status_of(error)
        id = reply.client_id.encode("utf-8", "replace")
        self._call.send(
            field(_ERROR_MESSAGE, status.message.encode("utf-8", "replace"))
            + field(_INFER_RESPONSE, field(_ID, id) if id else b"")
        )
        self._done(reply, status.http_status)

    def abort(self) -> None:
        self._call.abort()

    def _done(self, reply: StreamReply, http_status: int) -> None:
        was_taken = self._replies.pop(reply, reply) is not reply
        self._call.record(http_status, reply.model, reply.version, reply.received_at)
        if was_taken:
            self._take(-reply.size)
        self._end_if_done()

    def _take(self, size: int) -> None:
        """Count bytes of messages; the stream goes on once there is room for more."""
        call = self._call
        call.taken_bytes += size
        was_full = call.is_full
        call.is_full = len(self._replies) >= _MOST_UNDER_WAY or call.taken_bytes >= _MOST_BYTES
        if was_full and not call.is_full and not call.is_ended:
            call.connection.go_on(call)

    def _end_if_done(self) -> None:
        if self._replies or self._call.is_ended:
            return
        if self._is_half_closed:
            self._call.finish(Status(OK, "", 200))
        elif self._is_leaving:
            self._call.finish(Status(UNAVAILABLE, "The server is shutting down.", 503))

    def _cancel_all(self) -> None:
        replies, self._replies = self._replies, {}
        for reply, request in replies.items():
            self._call.record(CLIENT_CLOSED_REQUEST, reply.model, reply.version, reply.received_at)
            if request is not None:
                self._cancel(request)


class StreamParts:
    """Takes the answers to one message of a stream whose model has several."""

    def __init__(self, stream: InferStream, reply: StreamReply, source: OpenStream) -> None:
        self._stream = stream
        self._reply = reply
        self._source = source
        #: The newest one, until it is known whether it is the last one, or this turn of the loop ends.
        self._newest: Buffer | None = None

    def chunk(self, request: Request, body: Buffer) -> None:
        if self._newest is not None:
            self._send_newest()
        else:
            asyncio.get_running_loop().call_soon(self._at_end_of_turn)
        self._newest = body

    def _at_end_of_turn(self) -> None:
        """Nothing has said that the newest part is the last one."""
        try:
            self._send_newest()
        except Exception as error:
            faults.note("reply", error, self._reply.model, self._reply.version)
            self._stream.abort()

    def _send_newest(self) -> None:
        body, self._newest = self._newest, None
        if body is not None:
            self._stream.send_part(body, self._source)

    def end(self, request: Request) -> None:
        body, self._newest = self._newest, None
        self._stream.end_parts(self._reply, request, body)

    def answer(
        self, request: Request, status: int, phrase: bytes, headers: bytes, body: Buffer
    ) -> None:
        raise RuntimeError("an answer behind the begin of a stream")

    def fail(self, request: Request, error: ServerError) -> None:
        self._send_newest()
        self._stream.fail(self._reply, error)

    def give_up(self) -> None:
        self._stream.abort()


class StreamReply:
    """Takes the answer of a model to one message of a stream."""

    __slots__ = (
        *("_stream", "client_id", "model", "received_at", "size", "version", "wants_empty_end"),
    )

    def __init__(self, stream: InferStream, size: int) -> None:
        self._stream = stream
        self.size = size
        self.client_id = ""
        self.model = ""
        self.version = ""
        self.wants_empty_end = False
        self.received_at = time.monotonic()

    def answer(
        self, request: Request, status: int, phrase: bytes, headers: bytes, body: Buffer
    ) -> None:
        self._stream.answer(self, status, body)

    def open_stream(
        self, request: Request, status: int, phrase: bytes, headers: bytes, stream: OpenStream
    ) -> StreamParts:
        return StreamParts(self._stream, self, stream)

    def fail(self, request: Request, error: ServerError) -> None:
        self._stream.fail(self, error)

    def give_up(self) -> None:
        self._stream.abort()
