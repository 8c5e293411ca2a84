"""A call with a stream of messages, each of which is a request of its own, answered as soon as its model has."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from mms import faults
from mms.core import Request
from mms.core.request import Buffer
from mms.errors import CLIENT_CLOSED_REQUEST, UNAVAILABLE, ServerError, UnexpectedError
from mms.grpc.call import Call
from mms.grpc.status import OK, Status
from mms.wire.streams import cost_of

if TYPE_CHECKING:
    from mms.core.streams.open_stream import OpenStream

#: Of one call: requests under way, and what they may come to, before no more of its messages are taken.
_MOST_UNDER_WAY: Final = 64
_MOST_BYTES: Final = 16 * 2**20

_Reply = TypeVar("_Reply", bound="MessageReply")


class MessageStream(ABC, Generic[_Reply]):
    """The requests of one call. A wrong one gets its error in the stream, which goes on."""

    def __init__(self, call: Call, cancel: Callable[[Request], None]) -> None:
        self._call = call
        self._cancel = cancel
        self._replies: dict[_Reply, Request | None] = {}
        #: What the client has yet to take, and of which streams it is.
        self._untaken: list[tuple[OpenStream, int]] = []
        self._has_messages = False
        self._is_half_closed = False
        self._is_leaving = False
        call.on_cancel = self._cancel_all

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, {len(self._replies)} requests under way>"

    @abstractmethod
    def _reply_to(self, body: Buffer) -> _Reply:
        """Return what takes the answer to a message."""

    @abstractmethod
    def _read(self, body: Buffer, reply: _Reply) -> Any:
        """Return what a message asks. Raises ServerError."""

    @abstractmethod
    def _submit(self, body: Buffer, asked: Any, reply: _Reply) -> Request:
        """Have a model answer it. Raises ServerError."""

    @abstractmethod
    def fail(self, reply: _Reply, error: ServerError) -> None:
        """Send why a message has no answer, and call `_done`."""

    def message(self, body: Buffer) -> None:
        reply = self._reply_to(body)
        try:
            try:
                asked = self._read(body, reply)
            finally:
                self._charge()
            self._replies[reply] = None
            self._take(len(body))
            request = self._submit(body, asked, reply)
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

    def _send_part(self, message: Buffer, body: Buffer, source: OpenStream) -> None:
        """Send an answer that is not the last one to its request; the client's taking it makes room for more."""
        call = self._call
        call.send(message)
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

    def abort(self) -> None:
        """End the connection: the client cannot be told how a request ends."""
        self._call.abort()

    def _done(self, reply: _Reply, http_status: int) -> None:
        """A message has its last answer."""
        was_taken = self._replies.pop(reply, reply) is not reply
        self._record(reply, http_status)
        if was_taken:
            self._take(-reply.size)
        self._end_if_done()

    def _record(self, reply: _Reply, http_status: int) -> None:
        self._call.record(http_status, reply)
        # Each knows the other: they would stay until the next collection of garbage.
        reply.request = None

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
            self._record(reply, CLIENT_CLOSED_REQUEST)
            if request is not None:
                self._cancel(request)


class MessageReply:
    """What is known of one message, for the record. `size`: of the message, in bytes."""

    __slots__ = ("model", "received_at", "request", "size", "version")

    def __init__(self, size: int) -> None:
        self.size = size
        self.model = ""
        self.version = ""
        self.request: Request | None = None
        self.received_at = time.monotonic()
