"""One call: what a service sees of it, and how its messages are cut out of the bytes that come."""

from __future__ import annotations

import asyncio
import struct
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mms.core import new_request_id
from mms.core.request import Buffer
from mms.errors import DEADLINE_EXCEEDED, INTERNAL, RESOURCE_EXHAUSTED, UNIMPLEMENTED, ServerError
from mms.grpc.head import CallHead, literal
from mms.grpc.status import OK, Status, encode_message, status_of

#: Before each message: whether it is compressed, and its size in bytes.
PREFIX_BYTES = 5
read_prefix = struct.Struct(">BI").unpack_from
_pack_prefix = struct.Struct(">BI").pack

_GOOD_TRAILERS = literal(b"grpc-status", b"0") + b"\x00\x0cx-request-id"
_ID_BYTES = 36
_GOOD_TRAILERS += bytes([_ID_BYTES])
#: A message has as much more time as it would take at this rate, in bytes a second.
_MIN_BODY_RATE = 16 * 1024
#: Event loops have limits; gRPC's own timeouts go up to eleven thousand years.
_LONGEST_TIMER_S = 365 * 86400.0
_WINDOW_BITS = {b"gzip": 31, b"deflate": 15}
ENCODINGS = b"identity,deflate,gzip"


class Receiver(Protocol):
    """Takes what a client sends in a call with a stream of messages."""

    def message(self, body: Buffer) -> None: ...

    def half_closed(self) -> None:
        """The client sends no more."""


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a service: `begin` for one message and one answer, else `open` for streams.

    Both may raise ServerError, and so may a Receiver; the call ends with its status.
    """

    path: bytes
    begin: Callable[[Call, Buffer], None] | None = None
    open: Callable[[Call], Receiver] | None = None


class Sender(Protocol):
    """The connection of a call."""

    remote: str

    def send(self, call: Call, message: bytes, trailers: bytes | None) -> None:
        """`message`: with its prefix, or nothing. `trailers`: the header block that ends the call."""


class CallOwner(Protocol):
    """What calls share. Sizes in bytes."""

    max_message_bytes: int

    def record(self, call: Call, http_status: int) -> None:
        """A call has ended."""


class Call:
    """One call. Exactly one of `reply`, `finish` and the client's cancellation ends it; what comes later is ignored.

    `deadline` is of `time.monotonic()`, 0 for none. `model` and `version` are for the record: what was asked.
    """

    __slots__ = (
        "_buffer",
        "_is_half_closed",
        "_message",
        "_message_at",
        "_owner",
        "_receiver",
        "_timer",
        "connection",
        "deadline",
        "has_sent_head",
        "head",
        "id",
        "initial",
        "is_ended",
        "is_sent",
        "method",
        "model",
        "on_cancel",
        "outgoing",
        "outgoing_at",
        "outgoing_trailers",
        "received_at",
        "receive_window",
        "send_window",
        "stream_id",
        "version",
    )

    def __init__(
        self,
        owner: CallOwner,
        connection: Sender,
        stream_id: int,
        head: CallHead,
        method: Method | None,
        send_window: int,
        receive_window: int,
    ) -> None:
        self.id = new_request_id()
        self.connection = connection
        self.stream_id = stream_id
        self.head = head
        self.method = method
        self.received_at = time.monotonic()
        self.deadline = 0.0
        self.model = ""
        self.version = ""
        #: Header lines of the answer, besides its own, as `literal` writes them.
        self.initial = b""
        #: Called when the client or the deadline cancels the call.
        self.on_cancel: Callable[[], None] | None = None
        self.is_ended = False
        # The connection's: what is still to be sent, and the windows of flow control.
        self.has_sent_head = False
        self.is_sent = False
        self.outgoing: list[bytes] = []
        self.outgoing_at = 0
        self.outgoing_trailers: bytes | None = None
        self.send_window = send_window
        self.receive_window = receive_window
        self._owner = owner
        self._buffer = bytearray()
        self._message: Buffer | None = None
        #: Since when a message is on its way.
        self._message_at = self.received_at
        self._is_half_closed = False
        self._receiver: Receiver | None = None
        self._timer: asyncio.TimerHandle | None = None
        timeout_s = head.timeout_s
        if timeout_s is not None:
            self.deadline = self.received_at + timeout_s
            delay_s = min(timeout_s, _LONGEST_TIMER_S)
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._expire)

    def __repr__(self) -> str:
        ended = " ended" if self.is_ended else ""
        return f"<Call {self.id.decode()} of {self.head.path.decode('latin-1')}{ended}>"

    # What comes

    def begin(self, body: Buffer) -> None:
        """The whole of a unary call is there."""
        assert self.method is not None and self.method.begin is not None
        if self.head.problem is not None:
            self.fail(self.head.problem)
            return
        try:
            self.method.begin(self, body)
        except ServerError as error:
            self.fail(error)

    def open(self) -> None:
        """The head of a call with streams is there."""
        if self.method is not None and self.method.open is not None:
            try:
                self._receiver = self.method.open(self)
            except ServerError as error:
                self.fail(error)

    def feed(self, payload: bytes, is_end: bool) -> None:
        """Some bytes of messages."""
        if self.is_ended:
            return
        try:
            self._feed(payload)
            if is_end and not self.is_ended:
                self._end_input()
        except ServerError as error:
            self.fail(error)

    def _feed(self, payload: bytes) -> None:
        buffer = self._buffer
        if not buffer and self._receiver is not None:
            self._message_at = time.monotonic()
        buffer += payload
        while len(buffer) >= PREFIX_BYTES and not self.is_ended:
            flag, size = read_prefix(buffer)
            limit = self._owner.max_message_bytes
            if size > limit:
                return self.finish(too_large(size, limit))
            if flag > 1:
                return self.finish(Status(INTERNAL, f"Flags of a message are {flag}.", 400))
            end = PREFIX_BYTES + size
            if len(buffer) < end:
                return None
            if len(buffer) == end:
                # Its own buffer becomes the message, without a copy.
                message, buffer = buffer, bytearray()
                del message[:PREFIX_BYTES]
            else:
                message = buffer[PREFIX_BYTES:end]
                del buffer[:end]
            self._buffer = buffer
            if flag:
                inflated = self._inflate(message)
                if inflated is None:
                    return None
                self._take(inflated)
            else:
                self._take(message)
        return None

    def _take(self, message: Buffer) -> None:
        if self._receiver is not None:
            self._receiver.message(message)
        elif self._message is not None:
            self.finish(Status(UNIMPLEMENTED, "This method takes one message; more came.", 400))
        else:
            self._message = message

    def _end_input(self) -> None:
        if self._buffer:
            self.finish(Status(INTERNAL, "The last message is incomplete.", 400))
        elif self._receiver is not None:
            self._receiver.half_closed()
        elif self._message is None:
            self.finish(Status(UNIMPLEMENTED, "This method takes one message; none came.", 400))
        else:
            message, self._message = self._message, None
            self.begin(message)

    def _inflate(self, message: Buffer) -> bytes | None:
        bits = _WINDOW_BITS.get(self.head.encoding)
        if bits is None:
            encoding = self.head.encoding.decode("latin-1") or "none"
            self.finish(
                Status(UNIMPLEMENTED, f"Messages compressed with {encoding} cannot be read.", 415),
                literal(b"grpc-accept-encoding", ENCODINGS),
            )
            return None
        limit = self._owner.max_message_bytes
        inflater = zlib.decompressobj(bits)
        try:
            inflated = inflater.decompress(message, limit + 1)
        except zlib.error as error:
            self.finish(Status(INTERNAL, f"A compressed message cannot be read: {error}", 400))
            return None
        if len(inflated) > limit:
            self.finish(too_large(len(inflated), limit))
            return None
        if not inflater.eof:
            self.finish(Status(INTERNAL, "A compressed message breaks off.", 400))
            return None
        return inflated

    # What goes

    def send(self, message: Buffer) -> None:
        """One message of a stream of answers."""
        if not self.is_ended:
            self.connection.send(self, _prefixed(message), None)

    def reply(self, message: Buffer, http_status: int = 200) -> None:
        """The one answer, which ends the call."""
        if not self.is_ended:
            self._end(http_status)
            self.connection.send(self, _prefixed(message), _GOOD_TRAILERS + self.id)

    def finish(self, status: Status, trailers: bytes = b"") -> None:
        """End the call. `trailers`: more of them, as `literal` writes them."""
        if self.is_ended:
            return
        self._end(status.http_status)
        if status.code == OK:
            block = _GOOD_TRAILERS + self.id + trailers
        else:
            block = b"".join(
                (
                    literal(b"grpc-status", b"%d" % status.code),
                    literal(b"grpc-message", encode_message(status.message)),
                    literal(b"x-request-id", self.id),
                    trailers,
                )
            )
        self.connection.send(self, b"", block)

    def fail(self, error: ServerError) -> None:
        """End the call with the status of an error."""
        seconds = error.retry_after_s
        more = b"" if seconds is None else literal(b"retry-after", b"%d" % seconds)
        self.finish(status_of(error), more)

    # Its end

    def end_if_slow(self, now: float, body_timeout_s: float) -> None:
        """End a call whose message has been on its way for longer than the settings allow."""
        if self.is_ended or not self.receive_window:
            return
        if self._receiver is not None and not self._buffer:
            # Between the messages of a stream.
            return
        received = len(self._buffer) + (0 if self._message is None else len(self._message))
        if now - self._message_at > body_timeout_s + received / _MIN_BODY_RATE:
            text = f"No whole message within body_timeout_s={body_timeout_s:g}."
            self.finish(Status(DEADLINE_EXCEEDED, text, 408))

    def cancel(self) -> None:
        """The client is gone, or wants no answer any more."""
        if not self.is_ended:
            self._end(_HTTP_CANCELLED)
            if self.on_cancel is not None:
                self.on_cancel()

    def _expire(self) -> None:
        self._timer = None
        if not self.is_ended:
            if self.on_cancel is not None:
                self.on_cancel()
            self.finish(Status(DEADLINE_EXCEEDED, "Deadline Exceeded", 408))

    def _end(self, http_status: int) -> None:
        self.is_ended = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._owner.record(self, http_status)


#: What logs have for a call that its client cancelled.
_HTTP_CANCELLED = 499


def too_large(size: int, limit: int) -> Status:
    """The status for a message over the limit; the beginning is that of gRPC's own servers."""
    return Status(
        RESOURCE_EXHAUSTED,
        f"Received message larger than max ({size} vs. {limit}); grpc_max_request_size is the limit.",
        413,
    )


def _prefixed(message: Buffer) -> bytes:
    return _pack_prefix(0, len(message)) + bytes(message)
