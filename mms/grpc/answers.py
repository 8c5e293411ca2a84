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
_LAST_HEADERS = frames.END_HEADERS | frames.END_STREAM


class AnswerWriter:
    """Writes answers within the client's windows; what does not fit waits for `send_waiting`.

    Owner of a connection's side of the flow control; each call has its own window. `transport` is None before the
    connection stands and once it ends.
    """

    def __init__(self, on_sent: Callable[[Call], None]) -> None:
        """`on_sent`: a call's last byte is written."""
        self.transport: asyncio.Transport | None = None
        self.window = frames.DEFAULT_WINDOW_BYTES
        #: Of the client's settings: the window of a new call, and the largest frame.
        self.stream_window = frames.DEFAULT_WINDOW_BYTES
        self.frame_bytes = frames.DEFAULT_FRAME_BYTES
        #: The client reads too slowly for more.
        self.is_paused = False
        self._on_sent = on_sent
        self._waiting: dict[int, Call] = {}

    def __repr__(self) -> str:
        return f"<AnswerWriter, {len(self._waiting)} answers wait>"

    def write(self, data: bytes) -> None:
        """Bytes that no window counts."""
        if self.transport is not None:
            self.transport.write(data)

    def send(self, call: Call, message: bytes, trailers: bytes | None) -> None:
        """`message`: with its prefix, or nothing. `trailers`: the header block that ends the call."""
        transport = self.transport
        if transport is None:
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
            call.outgoing_trailers = trailers
            self._waiting[call.stream_id] = call
            self.send_waiting()
            return
        parts: list[bytes] = []
        if message:
            self._add_data(call, message, parts)
        if trailers is not None:
            self._add_trailers(call, trailers, parts)
        transport.write(b"".join(parts))
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
                self.write(b"".join(parts))
                parts.clear()
                size = 0
        if parts:
            self.write(b"".join(parts))
        for call in [call for call in waiting.values() if call.is_sent]:
            del waiting[call.stream_id]
            self._on_sent(call)

    def drop(self, stream_id: int) -> None:
        """Nobody wants the rest of this answer."""
        self._waiting.pop(stream_id, None)

    def close(self) -> None:
        self.transport = None
        self._waiting.clear()

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
        parts.append(frame_header(size, frames.DATA, 0, stream_id))
        parts.append(piece)

    def _add_trailers(self, call: Call, trailers: bytes, parts: list[bytes]) -> None:
        if not call.has_sent_head:
            # Head and trailers are one.
            trailers = ANSWER_HEAD + call.initial + trailers
        parts.append(frame_header(len(trailers), frames.HEADERS, _LAST_HEADERS, call.stream_id))
        parts.append(trailers)
