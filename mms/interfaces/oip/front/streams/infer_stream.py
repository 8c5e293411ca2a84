"""ModelStreamInfer: each message is a request of its own, answered as soon as its model has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from mms import faults
from mms.bodies.protobuf_wire import field
from mms.core import Request
from mms.core.request import Buffer
from mms.errors import ServerError
from mms.grpc.call import Call
from mms.grpc.message_stream import MessageReply, MessageStream
from mms.grpc.status import status_of
from mms.interfaces.oip.front.requests.infer_head import InferHead, read_infer_head

if TYPE_CHECKING:
    from mms.core.streams.open_stream import OpenStream

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


class InferStream(MessageStream["StreamReply"]):
    """The requests of one call. A wrong one gets its error in the stream, which goes on."""

    def __init__(self, call: Call, submit: Submit, cancel: Callable[[Request], None]) -> None:
        super().__init__(call, cancel)
        self._have_answered = submit

    def _reply_to(self, body: Buffer) -> StreamReply:
        return StreamReply(self, len(body))

    def _read(self, body: Buffer, reply: StreamReply) -> InferHead:
        head = read_infer_head(body)
        reply.client_id = head.id
        # Near the begin of the message; what stands there by chance costs an empty answer more.
        reply.wants_empty_end = _EMPTY_END in bytes(body[:_LOOKED_AT])
        return head

    def _submit(self, body: Buffer, asked: InferHead, reply: StreamReply) -> Request:
        return self._have_answered(self._call, body, asked, reply)

    def answer(self, reply: StreamReply, status: int, body: Buffer) -> None:
        """Send the answer to a request."""
        self._call.send(field(_INFER_RESPONSE, _FINAL, body))
        self._done(reply, status)

    def send_part(self, body: Buffer, source: OpenStream) -> None:
        """Send an answer that is not the last one to its request."""
        self._send_part(field(_INFER_RESPONSE, _NOT_FINAL, body), body, source)

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


class StreamReply(MessageReply):
    """Takes the answer of a model to one message of a stream."""

    __slots__ = ("_stream", "client_id", "wants_empty_end")

    def __init__(self, stream: InferStream, size: int) -> None:
        super().__init__(size)
        self._stream = stream
        self.client_id = ""
        self.wants_empty_end = False

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
