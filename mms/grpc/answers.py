"""What goes out on one connection, as fast as its client takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mms.grpc import frames
from mms.grpc.call import Call
from mms.grpc.frames import frame_header
from mms.grpc.head import ANSWER_HEAD

#: What one write takes at most, in bytes, of answers that had to wait.
_WRITE_BYTES = 256 * 1024
#: What a client that reads nothing may have waiting of answers to pings and the like, in bytes.
_MAX_UNREAD_BYTES = 256 * 1024
_LAST_HEADERS = frames.END_HEADERS | frames.END_STREAM


class AnswerWriter:
    """Writes answers within the client's windows; what does not fit waits for `send_waiting`.

    Owner of a connection's side of the flow control; each call has its own window. `transport` is None before the
    connection stands and once it ends.
    """

    def __init__(self, on_sent: Callable[[Call], None], on_taken: Callable[[Call], None]) -> None:
        """`on_sent`: a call's last byte is written. `on_taken`: a stream's answers that had to wait are."""
        self.transport: asyncio.Transport | None = None
        self.window = frames.DEFAULT_WINDOW_BYTES
        #: Of the client's settings: the window of a new call, and the largest frame.
        self.stream_window = frames.DEFAULT_WINDOW_BYTES
        self.frame_bytes = frames.DEFAULT_FRAME_BYTES
        #: The client reads too slowly for more.
        self.is_paused = False
        #: Of answers that wait, in bytes.
        self.waiting_bytes = 0
        self._on_sent = on_sent
        self._on_taken = on_taken
        self._waiting: dict[int, Call] = {}
        self._unread_bytes = 0
        self._data_bytes = 0

    def __repr__(self) -> str:
        return f"<AnswerWriter, {len(self._waiting)} answers wait>"

    def write(self, data: bytes) -> bool:
        """Write bytes that no window counts. False: the client sends for such and reads none."""
        if self.transport is None:
            return True
        self.transport.write(data)
        if not self.is_paused:
            self._unread_bytes = 0
            return True
        self._unread_bytes += len(data)
        return self._unread_bytes <= _MAX_UNREAD_BYTES

    @property
    def has_waiting(self) -> bool:
        """The client has answers to take."""
        return self.transport is not None and bool(self._waiting or self.is_paused)

    @property
    def taken_bytes(self) -> int:
        """What the client has taken of answers. Pings, which come and go behind closed windows, do not count."""
        assert self.transport is not None
        return self._data_bytes - self.transport.get_write_buffer_size()

    def send(self, call: Call, message: bytes, trailers: bytes | None) -> None:
        """`message`: with its prefix, or nothing. `trailers`: the header block that ends the call."""
        if self.transport is None:
            return
        size = len(message)
        if (
            size > call.send_window
            or size > self.window
            or size > self.frame_bytes
            or call.outgoing
            or self.is_paused
        ):
            if message:
                call.outgoing.append(message)
                self.waiting_bytes += size
            call.outgoing_trailers = trailers
            self._waiting[call.stream_id] = call
            self.send_waiting()
            return
        parts: list[bytes] = []
        if message:
            self._add_data(call, message, parts)
        if trailers is not None:
            self._add_trailers(call, trailers, parts)
        self.transport.write(b"".join(parts))
        if trailers is not None:
            self._on_sent(call)

    def send_waiting(self) -> None:
        """Send what the windows allow now, in turns of a frame for each call."""
        waiting = self._waiting
        parts: list[bytes] = []
        size = 0
        has_sent = bool(waiting)
        while has_sent and not self.is_paused and self.transport is not None:
            has_sent = False
            for call in list(waiting.values()):
                added = self._add_next(call, parts)
                if added:
                    has_sent = True
                    size += added
            if size >= _WRITE_BYTES:
                self.transport.write(b"".join(parts))
                parts.clear()
                size = 0
        if parts and self.transport is not None:
            self.transport.write(b"".join(parts))
        for call in [call for call in waiting.values() if call.is_sent or _is_taken(call)]:
            waiting.pop(call.stream_id, None)
            if call.is_sent:
                self._on_sent(call)
            else:
                self._on_taken(call)

    def drop(self, call: Call) -> None:
        """Nobody wants the rest of this answer."""
        if self._waiting.pop(call.stream_id, None) is not None:
            self.waiting_bytes -= sum(map(len, call.outgoing)) - call.outgoing_at
            call.outgoing.clear()

    def close(self) -> None:
        self.transport = None
        self._waiting.clear()
        self.waiting_bytes = 0

    def _add_next(self, call: Call, parts: list[bytes]) -> int:
        """Add the next frame of a call, and its end where that is all. Returns the bytes added."""
        added = 0
        if call.outgoing:
            room = min(call.send_window, self.window, self.frame_bytes)
            if room <= 0:
                return 0
            message = call.outgoing[0]
            piece = message[call.outgoing_at : call.outgoing_at + room]
            added = len(piece)
            call.outgoing_at += added
            self.waiting_bytes -= added
            if call.outgoing_at == len(message):
                call.outgoing.pop(0)
                call.outgoing_at = 0
            self._add_data(call, piece, parts)
        if not call.outgoing and not call.is_sent and call.outgoing_trailers is not None:
            self._add_trailers(call, call.outgoing_trailers, parts)
            added += len(call.outgoing_trailers)
            call.is_sent = True
        return added

    def _add_data(self, call: Call, piece: bytes, parts: list[bytes]) -> None:
        stream_id = call.stream_id
        if not call.has_sent_head:
            call.has_sent_head = True
            block = ANSWER_HEAD + call.initial
            parts.append(frame_header(len(block), frames.HEADERS, frames.END_HEADERS, stream_id))
            parts.append(block)
        size = len(piece)
        call.send_window -= size
        self.window -= size
        self._data_bytes += size
        parts.append(frame_header(size, frames.DATA, 0, stream_id))
        parts.append(piece)

    def _add_trailers(self, call: Call, trailers: bytes, parts: list[bytes]) -> None:
        if not call.has_sent_head:
            # Head and trailers are one.
            trailers = ANSWER_HEAD + call.initial + trailers
        parts.append(frame_header(len(trailers), frames.HEADERS, _LAST_HEADERS, call.stream_id))
        parts.append(trailers)


def _is_taken(call: Call) -> bool:
    """Return whether a stream has nothing to send just now."""
    return not call.outgoing and call.outgoing_trailers is None
