"""StreamPredictions2: each message is a request of its own, of a sequence; answers come as they are ready."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from mms.bodies.protobuf_wire import field, varint
from mms.core import Request
from mms.core.request import Buffer
from mms.errors import BadRequest, ServerError
from mms.grpc.call import Call
from mms.grpc.message_stream import MessageReply, MessageStream
from mms.grpc.status import status_of
from mms.interfaces.torchserve.front.messages import read_message

if TYPE_CHECKING:
    from mms.core.streams.open_stream import OpenStream

#: Tags of a `PredictionResponse`, and of the `google.rpc.Status` in it.
_PREDICTION: Final = 1 << 3 | 2
_SEQUENCE_ID: Final = 2 << 3 | 2
_STATUS: Final = 3 << 3 | 2
_CODE: Final = 1 << 3
_TEXT: Final = 2 << 3 | 2

#: Has a model answer a message. Raises ServerError.
Submit = Callable[[Call, Any, "PredictionReply"], Request]


class PredictionStream(MessageStream["PredictionReply"]):
    """The requests of one call. A wrong one gets its error in the stream, which goes on."""

    def __init__(
        self,
        call: Call,
        *,
        submit: Submit,
        cancel: Callable[[Request], None],
        start_header: str,
    ) -> None:
        super().__init__(call, cancel)
        self._have_answered = submit
        self._start_header = start_header

    def _reply_to(self, body: Buffer) -> PredictionReply:
        return PredictionReply(self, len(body))

    def _read(self, body: Buffer, reply: PredictionReply) -> Any:
        asked = read_message("PredictionsRequest", body)
        reply.sequence_id = asked.sequence_id.encode()
        begins = asked.input.get(self._start_header, b"").strip().lower() == b"true"
        if not asked.sequence_id and not begins:
            raise BadRequest("Parameter sequenceId is required.")
        return asked

    def _submit(self, body: Buffer, asked: Any, reply: PredictionReply) -> Request:
        reply.model, reply.version = asked.model_name, asked.model_version
        return self._have_answered(self._call, asked, reply)

    def answer(self, reply: PredictionReply, status: int, body: Buffer) -> None:
        """Send the answer to a request."""
        self._call.send(reply.response(body))
        self._done(reply, status)

    def send_part(self, reply: PredictionReply, body: Buffer, source: OpenStream) -> None:
        """Send a part of the answer to a request."""
        self._send_part(reply.response(body), body, source)

    def end_parts(self, reply: PredictionReply) -> None:
        """All parts are sent."""
        self._done(reply, 200)

    def fail(self, reply: PredictionReply, error: ServerError) -> None:
        status = status_of(error)
        told = field(_TEXT, status.message.encode("utf-8", "replace"))
        code = varint(_CODE) + varint(status.code)
        self._call.send(reply.named() + field(_STATUS, code, told))
        self._done(reply, status.http_status)


class PredictionReply(MessageReply):
    """Takes the answer of a model to one message, whole or in parts."""

    __slots__ = ("_source", "_stream", "sequence_id")

    def __init__(self, stream: PredictionStream, size: int) -> None:
        super().__init__(size)
        self._stream = stream
        self._source: OpenStream | None = None
        #: As the client has it, or as the model has named it.
        self.sequence_id = b""

    def named(self) -> bytes:
        """Return the member with the id of the sequence; nothing where there is none."""
        return field(_SEQUENCE_ID, self.sequence_id) if self.sequence_id else b""

    def response(self, body: Buffer) -> bytes:
        """Return a message with an answer, or a part of one."""
        return field(_PREDICTION, body) + self.named()

    def answer(
        self, request: Request, status: int, phrase: bytes, headers: bytes, body: Buffer
    ) -> None:
        self._name(request)
        self._stream.answer(self, status, body)

    def open_stream(
        self, request: Request, status: int, phrase: bytes, headers: bytes, stream: OpenStream
    ) -> PredictionReply:
        self._name(request)
        self._source = stream
        return self

    def chunk(self, request: Request, body: Buffer) -> None:
        assert self._source is not None
        self._stream.send_part(self, body, self._source)

    def end(self, request: Request) -> None:
        self._stream.end_parts(self)

    def fail(self, request: Request, error: ServerError) -> None:
        self._stream.fail(self, error)

    def give_up(self) -> None:
        self._stream.abort()

    def _name(self, request: Request) -> None:
        if request.sequence is not None:
            self.sequence_id = request.sequence.id
