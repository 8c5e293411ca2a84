"""What the calls of one connection bring, and when: windows for messages, and calls that wait for their turn.

HTTP/2 has no way not to read a call: frames that open windows and take calls back come on the same connection. So it is
the windows that keep a client from sending, and calls whose answers would find no room are begun later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from mms.bodies.inflation import Inflation
from mms.core.request import Buffer
from mms.grpc import frames
from mms.grpc.answers import AnswerWriter
from mms.grpc.call import Call
from mms.limits.memory import SMALL_BYTES, MemoryAccount, MemoryLimit

#: Calls under way on one connection; a client keeps more of them back.
MAX_STREAMS = 256
_MIN_STREAMS = 8
#: What a client may send of a message before it is known how long it is, in bytes. All calls together can bring half of
#: a connection's memory in this way.
_MAX_WINDOW_BYTES = 1 << 20


class Inflow:
    """Owner of the calls' windows, and of what is counted for a connection."""

    def __init__(
        self,
        memory: MemoryLimit,
        writer: AnswerWriter,
        write: Callable[[bytes], None],
        hold: Callable[[bool], None],
        on_room: Callable[[], None],
    ) -> None:
        """`writer`: has the answers that wait. `write`: sends a frame. `hold`: have no more read of the connection, or
        again. `on_room`: calls the method of this name."""
        half = memory.each_bytes // 2
        #: What whole messages may come to; the other half is for the begins of messages.
        self._most_whole_bytes = memory.each_bytes - half
        self.max_streams = min(MAX_STREAMS, max(_MIN_STREAMS, half // frames.DEFAULT_WINDOW_BYTES))
        self.stream_window = min(
            _MAX_WINDOW_BYTES, max(frames.DEFAULT_WINDOW_BYTES, half // self.max_streams)
        )
        self._memory = memory
        self._account = MemoryAccount(memory, on_room)
        self._set_held = hold
        self._writer = writer
        self._write = write
        #: Of messages that are whole or may become so, and of the begins of others, in bytes.
        self._whole_bytes = 0
        self._partial_bytes = 0
        #: Calls that their services know, and what their answers may come to.
        self._begun = 0
        self._expected_bytes = 0
        #: Calls whose message waits for its window, by their streams.
        self._without_window: dict[int, Call] = {}
        self._waiting: deque[tuple[Call, Buffer | Inflation]] = deque()
        self._is_going_on = False

    def __repr__(self) -> str:
        return (
            f"<Inflow {self._whole_bytes + self._partial_bytes} bytes, {self._begun} calls begun, "
            f"{len(self._waiting)} wait>"
        )

    # Messages

    def on_data(self, call: Call) -> None:
        """Some of a message has come, and more may: open the window for it, or have it wait."""
        missing = call.missing_bytes
        if not missing:
            self._set_whole(call, not call.is_stream)
            self.hold(call, call.buffered_bytes)
            if (
                call.is_stream
                and not call.is_stalled
                and call.receive_window <= self.stream_window // 2
            ):
                self._open(call, self.stream_window - call.receive_window)
            return
        more = missing - call.receive_window
        if call.is_whole:
            # Padding has used up some of what was given.
            if more > 0:
                self._open(call, more)
            return
        self.hold(call, call.buffered_bytes)
        if more > 0 and not self._try_open(call, missing):
            self._without_window[call.stream_id] = call
            if self._partial_bytes > SMALL_BYTES and self._account.is_waiting:
                # The begins of its messages alone are too much.
                self._set_held(True)

    def on_room(self) -> None:
        """There is memory again that this connection waits for."""
        self._set_held(False)
        whole = self._whole_bytes
        self.go_on()
        if not self._without_window and self._whole_bytes == whole:
            self._account.stop_waiting()

    @property
    def is_waiting(self) -> bool:
        """A message waits as all connections hold too much."""
        return self._account.is_waiting

    def spare_s(self, usual_s: float) -> float:
        """Return how long the client may fall behind its rate."""
        return self._account.spare_s(usual_s)

    def _try_open(self, call: Call, missing: int) -> bool:
        """Let all of a message come, where there is room for it, or no other."""
        if self._account.must_wait(missing):
            return False
        whole = self._whole_bytes + self._writer.waiting_bytes
        if whole and whole + call.held_bytes + missing > self._most_whole_bytes:
            self._memory.pauses += call.stream_id not in self._without_window
            return False
        self._set_whole(call, True)
        self.hold(call, call.held_bytes + missing)
        call.restart_clock()
        self._open(call, missing - call.receive_window)
        return True

    def _open(self, call: Call, more: int) -> None:
        call.receive_window += more
        self._write(frames.window_update(call.stream_id, more))

    def _set_whole(self, call: Call, is_whole: bool) -> None:
        if call.is_whole != is_whole:
            call.is_whole = is_whole
            moved = call.held_bytes if is_whole else -call.held_bytes
            self._whole_bytes += moved
            self._partial_bytes -= moved

    def hold(self, call: Call, size: int) -> None:
        """A call has so much in memory."""
        more = size - call.held_bytes
        if more:
            call.held_bytes = size
            if call.is_whole:
                self._whole_bytes += more
            else:
                self._partial_bytes += more
            self.note()

    def note(self) -> None:
        """Count what has changed."""
        held = self._whole_bytes + self._partial_bytes + self._writer.waiting_bytes
        if held != self._account.held_bytes:
            self._account.note(held)

    # Calls

    def begin(self, call: Call, body: Buffer | Inflation) -> None:
        """Begin a call whose message is whole, at once or when there is room for its answer."""
        call.expected_bytes = self._memory.expected_answer(call.model)
        if isinstance(body, Inflation):
            call.expected_bytes += body.limit_bytes
        self._set_whole(call, True)
        is_free = self._begun < self._memory.free_requests and not self._account.held_bytes
        if is_free or (not self._waiting and self._has_room(call)):
            self._start(call, body)
            return
        self._memory.pauses += 1
        self._waiting.append((call, body))
        if not isinstance(body, Inflation):
            self.hold(call, len(body))

    def _has_room(self, call: Call) -> bool:
        if not self._begun and not self._writer.waiting_bytes:
            return True
        held = self._whole_bytes + self._writer.waiting_bytes + self._expected_bytes
        return held + call.expected_bytes <= self._memory.each_bytes

    def _start(self, call: Call, body: Buffer | Inflation) -> None:
        call.is_begun = True
        self._begun += 1
        self._expected_bytes += call.expected_bytes
        call.start(body)

    def unfold(self, call: Call, inflation: Inflation) -> None:
        """A compressed message has the size that it has now, and no longer the one that it might have had."""
        if call.is_begun:
            call.expected_bytes -= inflation.limit_bytes
            self._expected_bytes -= inflation.limit_bytes
        self.hold(call, len(inflation.result))

    def forget(self, call: Call) -> None:
        """A call has ended; its answer is the writer's."""
        if call.is_begun:
            call.is_begun = False
            self._begun -= 1
            self._expected_bytes -= call.expected_bytes
        if call.held_bytes:
            self.hold(call, 0)
            if self._without_window.pop(call.stream_id, None) and not self._without_window:
                self._account.stop_waiting()
                self._set_held(False)
        if self._waiting or self._without_window:
            self.go_on()

    def go_on(self) -> None:
        """Begin what has waited, and let messages come, as far as there is room now."""
        if self._is_going_on:
            return
        self._is_going_on = True
        try:
            while self._waiting:
                call, body = self._waiting[0]
                if not call.is_ended and not self._has_room(call):
                    break
                self._waiting.popleft()
                if not call.is_ended:
                    self._start(call, body)
            for call in list(self._without_window.values()):
                if not call.is_ended and not self._try_open(call, call.missing_bytes):
                    break
                self._without_window.pop(call.stream_id, None)
        finally:
            self._is_going_on = False

    def on_sent(self) -> None:
        """The client has taken some of its answers."""
        self.note()
        if self._waiting or self._without_window:
            self.go_on()

    def close(self) -> None:
        """The connection has ended."""
        self._waiting.clear()
        self._without_window.clear()
        self._account.close()
