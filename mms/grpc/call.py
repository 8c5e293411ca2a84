"""One call: what a service sees of it, and how its messages are cut out of the bytes that come."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mms import faults
from mms.bodies.inflation import CODINGS, BrokenCoding, InflatesTooFar, Inflation
from mms.core import Request, clients_request_id, new_request_id
from mms.core.request import Buffer
from mms.errors import (
    CLIENT_CLOSED_REQUEST,
    DEADLINE_EXCEEDED,
    INTERNAL,
    UNIMPLEMENTED,
    ServerError,
    UnexpectedError,
)
from mms.grpc.head import CallHead, literal
from mms.grpc.status import (
    OK,
    Status,
    encode_message,
    status_of,
    status_of_coding,
    too_large,
)
from mms.limits.inflating import SMALL_BYTES, Inflater
from mms.limits.memory import NoMemory, Pace
from mms.security import INFERENCE, Role

#: Before each message: whether it is compressed, and its size in bytes.
PREFIX_BYTES = 5
read_prefix = struct.Struct(">BI").unpack_from
_pack_prefix = struct.Struct(">BI").pack

_GOOD_STATUS = literal(b"grpc-status", b"0")
_REQUEST_ID = b"x-request-id"
_ENCODINGS = b",".join((b"identity", *CODINGS))


class Receiver(Protocol):
    """Takes what a client sends in a call with a stream of messages."""

    def message(self, body: Buffer) -> None: ...

    def half_closed(self) -> None:
        """The client sends no more."""

    def leave(self) -> None:
        """The server stops: the call ends once what has come is answered."""


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a service: `begin` for one message and one answer, else `open` for streams.

    `accept` comes before `begin` and says which model is asked, as `call.model`; `check` refuses a call that the model
    would, and is asked before work is put into unfolding its message. All may raise ServerError, and so may a Receiver;
    the call ends with its status. `roles`: a key needs one of these; none: anybody may call.
    """

    path: bytes
    accept: Callable[[Call], None] | None = None
    check: Callable[[Call], None] | None = None
    begin: Callable[[Call, Buffer], None] | None = None
    open: Callable[[Call], Receiver] | None = None
    roles: tuple[Role, ...] = INFERENCE


class Sender(Protocol):
    """The connection of a call."""

    remote: str

    def abort(self) -> None:
        """End the connection at once, with all of its calls."""

    def send(self, call: Call, message: bytes, trailers: bytes | None) -> None:
        """`message`: with its prefix, or nothing. `trailers`: the header block that ends the call."""

    def begin(self, call: Call, body: Buffer | Inflation) -> None:
        """Have a call start with its message, once there is room for it."""

    def unfold(self, call: Call, inflation: Inflation) -> None:
        """A compressed message is unfolded now."""

    def go_on(self, call: Call) -> None:
        """Nothing keeps a stream's next message from being taken any more."""


class AskedOf(Protocol):
    """A call, or a message of a stream. `model`, `version`: for the record. `request`: until that has ended."""

    model: str
    version: str
    received_at: float
    request: Request | None


class CallOwner(Protocol):
    """What calls share. Sizes in bytes."""

    max_message_bytes: int
    inflater: Inflater
    trusts_request_ids: bool

    def charge(self, call: Call) -> None:
        """Count one more request of a call's client. Raises TooManyRequests."""

    def record(self, call: Call, http_status: int, problem: str) -> None:
        """A call has ended."""

    def record_message(self, call: Call, http_status: int, message: AskedOf) -> None:
        """A message of a stream that was a request of its own is answered."""


class Call:
    """One call. Exactly one of `reply`, `finish` and the client's cancellation ends it; what comes later is ignored.

    `deadline` is of `time.monotonic()`, 0 for none. `model` and `version` are for the record: what was asked.
    """

    __slots__ = (
        "_buffer",
        "_inflating",
        "_is_compressed",
        "_is_cutting",
        "_is_half_closed",
        "_message",
        "_message_at",
        "_pace",
        "_paced_since",
        "_owner",
        "_receiver",
        "_timer",
        "connection",
        "deadline",
        "expected_bytes",
        "has_sent_head",
        "head",
        "held_bytes",
        "id",
        "initial",
        "is_begun",
        "is_ended",
        "is_full",
        "is_receiving",
        "is_sent",
        "is_whole",
        "method",
        "model",
        "on_cancel",
        "on_taken",
        "outgoing",
        "outgoing_at",
        "outgoing_trailers",
        "received_at",
        "receive_window",
        "request",
        "send_window",
        "stream_id",
        "taken_bytes",
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
        if owner.trusts_request_ids:
            self.id = clients_request_id(head.first.get(_REQUEST_ID, b"")) or self.id
        self.connection = connection
        self.stream_id = stream_id
        self.head = head
        self.method = method
        self.received_at = time.monotonic()
        self.deadline = 0.0
        self.model = self.version = ""
        #: What a model is asked for this call, until it has ended.
        self.request: Request | None = None
        #: Header lines of the answer, besides its own, as `literal` writes them.
        self.initial = b""
        #: Called when the client or the deadline cancels the call.
        self.on_cancel: Callable[[], None] | None = None
        #: Of a stream: called when its client has taken answers that had to wait.
        self.on_taken: Callable[[], None] | None = None
        self.is_ended = False
        #: Of a stream: its service takes no more messages for now, and what it has of them, in bytes.
        self.is_full = False
        self.taken_bytes = 0
        # The connection's: what is still to be sent, and the windows of flow control.
        self.has_sent_head = self.is_sent = False
        self.outgoing: list[bytes] = []
        self.outgoing_at = 0
        self.outgoing_trailers: bytes | None = None
        self.send_window = send_window
        self.receive_window = receive_window
        #: The client has not ended its side.
        self.is_receiving = True
        # The inflow's: what is counted for this call, whether all of its message may come or has, whether its service
        # knows it, and what its answer may come to.
        self.held_bytes = 0
        self.is_whole = self.is_begun = False
        self.expected_bytes = 0
        self._owner = owner
        self._buffer = bytearray()
        self._message: Buffer | None = None
        self._is_compressed = False
        #: Unfolds a message in the background.
        self._inflating: asyncio.Task[None] | None = None
        #: Since when a message is on its way.
        self._message_at = self.received_at
        #: How fast the client sends it, once it takes longer.
        self._paced_since = 0.0
        self._pace: Pace
        self._is_half_closed = self._is_cutting = False
        self._receiver: Receiver | None = None
        self._timer: asyncio.TimerHandle | None = None
        timeout_s = head.timeout_s
        if timeout_s is not None:
            self.deadline = self.received_at + timeout_s
            self._timer = asyncio.get_running_loop().call_later(timeout_s, self._expire)

    def __repr__(self) -> str:
        ended = " ended" if self.is_ended else ""
        return f"<Call {self.id.decode()} of {self.head.path.decode('latin-1')}{ended}>"

    # What comes

    def begin(self, body: Buffer, *, is_compressed: bool = False) -> None:
        """The whole of a unary call is there."""
        method = self.method
        assert method is not None
        if self.head.problem is not None:
            self.fail(self.head.problem)
            return
        try:
            if method.accept is not None:
                method.accept(self)
            if is_compressed:
                self._check_is_wanted()
        except Exception as error:
            self._fail_with(error)
            return
        if not is_compressed:
            self.connection.begin(self, body)
            return
        inflation = self._open_inflation(body)
        if inflation is not None:
            self.connection.begin(self, inflation)

    def start(self, body: Buffer | Inflation) -> None:
        """There is room for a unary call."""
        if isinstance(body, Inflation):
            self._inflate(body, self._start)
        else:
            self._start(body)

    def _start(self, body: Buffer) -> None:
        assert self.method is not None and self.method.begin is not None
        try:
            self.method.begin(self, body)
        except Exception as error:
            self._fail_with(error)

    def open(self) -> None:
        """The head of a call with streams is there."""
        if self.method is not None and self.method.open is not None:
            try:
                self._receiver = self.method.open(self)
            except Exception as error:
                self._fail_with(error)

    @property
    def is_stream(self) -> bool:
        return self._receiver is not None

    @property
    def is_stalled(self) -> bool:
        """A stream's next message has to wait: for those before it, or for the client to take the answers."""
        return self._inflating is not None or (
            self._receiver is not None and (self.is_full or bool(self.outgoing))
        )

    @property
    def buffered_bytes(self) -> int:
        """What has come: what is not a service's yet, and of a stream what its service has not answered."""
        held = len(self._buffer) + self.taken_bytes
        return held if self._message is None else held + len(self._message)

    @property
    def missing_bytes(self) -> int:
        """What is to come of the message that has begun; 0 between messages."""
        buffer = self._buffer
        if not buffer or self.is_stalled:
            return 0
        if len(buffer) < PREFIX_BYTES:
            return PREFIX_BYTES - len(buffer)
        return max(PREFIX_BYTES + int(read_prefix(buffer)[1]) - len(buffer), 0)

    def leave(self) -> None:
        """The server stops."""
        if self._receiver is not None and not self.is_ended:
            self._receiver.leave()

    def restart_clock(self) -> None:
        """The client may send on from now: its message had to wait."""
        self._message_at = time.monotonic()

    def feed(self, payload: bytes, is_end: bool) -> None:
        """Some bytes of messages."""
        if self.is_ended:
            return
        if not self._buffer and self._receiver is not None:
            self._message_at = time.monotonic()
        self._is_half_closed = is_end
        self._buffer += payload
        self.go_on()

    def go_on(self) -> None:
        """Take the messages that have come, as far as they need not wait, in one loop: no stack grows with them."""
        if self.on_taken is not None:
            self.on_taken()
        if self._is_cutting:
            return
        self._is_cutting = True
        try:
            self._cut()
        except Exception as error:
            self._fail_with(error)
        finally:
            self._is_cutting = False

    def _cut(self) -> None:
        while len(self._buffer) >= PREFIX_BYTES and not self.is_ended and not self.is_stalled:
            buffer = self._buffer
            flag, size = read_prefix(buffer)
            limit = self._owner.max_message_bytes
            if size > limit:
                return self.finish(too_large(size, limit))
            if flag > 1:
                return self.finish(Status(INTERNAL, f"Flags of a message are {flag}.", 400))
            end = PREFIX_BYTES + size
            if len(buffer) < end:
                break
            if len(buffer) == end:
                # Its own buffer becomes the message, without a copy.
                message, buffer = buffer, bytearray()
                del message[:PREFIX_BYTES]
            else:
                message = buffer[PREFIX_BYTES:end]
                del buffer[:end]
            self._buffer = buffer
            self._take(message, bool(flag))
        if self._is_half_closed and not self.is_ended and not self.is_stalled:
            self._is_half_closed = False
            self._end_input()
        return None

    def _take(self, message: Buffer, is_compressed: bool) -> None:
        if self._receiver is not None:
            inflation = self._open_inflation(message) if is_compressed else None
            if inflation is not None:
                self._inflate(inflation, self._take_inflated)
            elif not self.is_ended:
                self._receiver.message(message)
        elif self._message is not None:
            self.finish(Status(UNIMPLEMENTED, "This method takes one message; more came.", 400))
        else:
            self._message = message
            self._is_compressed = is_compressed

    def _take_inflated(self, message: Buffer) -> None:
        assert self._receiver is not None
        try:
            self._receiver.message(message)
        except Exception as error:
            self._fail_with(error)
        self.connection.go_on(self)

    def _end_input(self) -> None:
        if self._buffer:
            self.finish(Status(INTERNAL, "The last message is incomplete.", 400))
        elif self._receiver is not None:
            self._receiver.half_closed()
        elif self._message is None:
            self.finish(Status(UNIMPLEMENTED, "This method takes one message; none came.", 400))
        else:
            message, self._message = self._message, None
            self.begin(message, is_compressed=self._is_compressed)

    # Compressed messages

    def _open_inflation(self, message: Buffer) -> Inflation | None:
        """Return a message's unfolding; None where its coding is unknown and the call finished."""
        if self.head.encoding in CODINGS:
            owner = self._owner
            return owner.inflater.open(self.head.encoding, message, owner.max_message_bytes)
        encoding = self.head.encoding.decode("latin-1") or "none"
        self.finish(
            Status(UNIMPLEMENTED, f"Messages compressed with {encoding} cannot be read.", 415),
            literal(b"grpc-accept-encoding", _ENCODINGS),
        )
        return None

    def _inflate(self, inflation: Inflation, take: Callable[[Buffer], None]) -> None:
        """Have `take` the message once it is unfolded: at once, or where it is large beside the event loop."""
        try:
            is_done = inflation.advance(SMALL_BYTES)
        except (BrokenCoding, InflatesTooFar) as error:
            self.finish(status_of_coding(error))
            return
        if is_done:
            self.connection.unfold(self, inflation)
            take(inflation.result)
        else:
            loop = asyncio.get_running_loop()
            self._inflating = loop.create_task(self._finish_inflation(inflation, take))

    async def _finish_inflation(self, inflation: Inflation, take: Callable[[Buffer], None]) -> None:
        try:
            try:
                message = await self._owner.inflater.finish(inflation, self._check_is_wanted)
            finally:
                self._inflating = None
            self.connection.unfold(self, inflation)
            take(message)
        except (BrokenCoding, InflatesTooFar) as error:
            self.finish(status_of_coding(error))
        except Exception as error:
            self._fail_with(error)

    def _check_is_wanted(self) -> None:
        """Raises ServerError where the model would refuse a call."""
        if self.method is not None and self.method.check is not None:
            self.method.check(self)

    # What goes

    def send(self, message: Buffer) -> None:
        """One message of a stream of answers."""
        if not self.is_ended:
            self.connection.send(self, _prefixed(message), None)

    def charge(self) -> None:
        """Count a message of a stream for its client. Raises TooManyRequests."""
        self._owner.charge(self)

    def record(self, http_status: int, message: AskedOf) -> None:
        """Count a message of a stream as the request that it was."""
        self._owner.record_message(self, http_status, message)

    def reply(self, message: Buffer, http_status: int = 200) -> None:
        """The one answer, which ends the call."""
        if not self.is_ended:
            try:
                self._end(http_status)
                self.connection.send(self, _prefixed(message), _good_trailers(self.id))
            except Exception:
                # The call has ended here, so nothing else would tell its client.
                self.connection.abort()
                raise

    def finish(self, status: Status, trailers: bytes = b"") -> None:
        """End the call. `trailers`: more of them, as `literal` writes them."""
        if self.is_ended:
            return
        try:
            self._end(status.http_status, status.message)
            self.connection.send(self, b"", self._last_block(status) + trailers)
        except Exception:
            self.connection.abort()
            raise

    def _last_block(self, status: Status) -> bytes:
        if status.code == OK:
            return _good_trailers(self.id)
        return b"".join(
            (
                literal(b"grpc-status", b"%d" % status.code),
                literal(b"grpc-message", encode_message(status.message)),
                literal(_REQUEST_ID, self.id),
            )
        )

    def _fail_with(self, error: Exception) -> None:
        """End the call with an error of the server, or with one that nothing foresaw; other calls go on."""
        if not isinstance(error, ServerError):
            faults.note("request", error, self.model, self.version, request_ids=(self.id,))
            error = UnexpectedError(self.id)
        self.fail(error)

    def fail(self, error: ServerError) -> None:
        """End the call with the status of an error."""
        seconds = error.retry_after_s
        more = b"" if seconds is None else literal(b"retry-after", b"%d" % seconds)
        self.finish(status_of(error), more)

    def abort(self) -> None:
        """End the connection: the client cannot be told how the call ends."""
        self.connection.abort()

    # Its end

    def end_if_slow(
        self, now: float, spare_s: float, body_timeout_s: float, *, waits_for_us: bool
    ) -> None:
        """End a call whose message comes too slowly, or for which there was no memory within `body_timeout_s`.

        `spare_s`: what the client may fall behind its rate.
        """
        if self.is_ended or not self.is_receiving:
            return
        if self._receiver is not None and not self._buffer:
            # Between the messages of a stream.
            return
        if self.is_stalled:
            return
        if waits_for_us and not self.is_whole:
            if now - self._message_at > body_timeout_s:
                self.fail(NoMemory())
            return
        if self._paced_since != self._message_at:
            self._paced_since = self._message_at
            self._pace = Pace()
        if self._pace.is_too_slow(now, self.buffered_bytes, spare_s):
            text = f"No whole message within body_timeout_s={body_timeout_s:g}."
            self.finish(Status(DEADLINE_EXCEEDED, text, 408))

    def cancel(self) -> None:
        """The client is gone, or wants no answer any more."""
        if not self.is_ended:
            on_cancel = self.on_cancel
            self._end(CLIENT_CLOSED_REQUEST)
            if on_cancel is not None:
                on_cancel()

    @faults.ends_connection
    def _expire(self) -> None:
        self._timer = None
        if not self.is_ended:
            if self.on_cancel is not None:
                with faults.contained("deadline", self.model, self.version):
                    self.on_cancel()
            self.finish(Status(DEADLINE_EXCEEDED, "Deadline Exceeded", 408))

    def _end(self, http_status: int, problem: str = "") -> None:
        self.is_ended = True
        # They know the request, which knows this call: its body would stay until the next collection of garbage.
        self.on_cancel = self.on_taken = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._inflating is not None:
            self._inflating.cancel()
            self._inflating = None
        self._owner.record(self, http_status, problem)
        self.request = None


def _good_trailers(request_id: bytes) -> bytes:
    # As `literal` writes it; an id is short.
    return b"%b\x00\x0cx-request-id%c%b" % (_GOOD_STATUS, len(request_id), request_id)


def _prefixed(message: Buffer) -> bytes:
    return _pack_prefix(0, len(message)) + bytes(message)
