"""Reads what the front sends, and between batches has the open streams make their chunks.

Code of iterators runs on the thread that runs batches, one chunk of each stream in turn, so that a model's code never
runs twice at once. Async iterators are driven by tasks of the event loop that async entry points run on; they go on
while those wait. A stream without credit is passed over: its client has not taken what was sent.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from mms.processes import heap
from mms.wire import CREDIT, FAILED, Buffer, Frame, FrameDecoder, ResultItem, encode_result
from mms.wire.streams import END, decode_credit, encode_chunks
from mms.worker.connection import MAX_FRAME_BYTES
from mms.worker.outbox import Outbox
from mms.worker.running.awaiting import event_loop
from mms.worker.streams.form import ChunkForm, is_async_stream
from mms.worker.streams.stream import (
    MOST_WAIT_S,
    AsyncStream,
    IteratorStream,
    PushedStream,
    Stream,
)

if TYPE_CHECKING:
    import asyncio

#: A chunk waits no longer than this for others to go out with it, in nanoseconds.
_HOLD_NS = 200_000
#: So many quick steps in a row let a stream's next one be taken for quick, too: until then nothing waits for it.
_QUICK_STEPS = 8
#: How long streams take turns until the front is listened to, in nanoseconds: a batch waits for so long, or for one
#: chunk.
_ROUND_NS = 500_000
#: Items, and bytes of them, that go out by one frame.
_MAX_ITEMS = 1024
_MAX_BYTES = 256 * 1024

_TOO_SLOW = b"The client takes the answer too slowly."
#: How often streams are asked again that wait for what becomes of others, in seconds.
_LOOK_S = 1.0

_now_ns = time.perf_counter_ns


class StreamPump:
    """The open streams of a worker, and its side of the work connection. Owned by the thread that runs batches."""

    def __init__(self, work: socket.socket, outbox: Outbox) -> None:
        self._work = work
        self._outbox = outbox
        #: What other threads wake the pump by.
        self._waker, self._woken = socket.socketpair()
        for end in (self._waker, self._woken):
            end.setblocking(False)
        self._decoder = FrameDecoder(MAX_FRAME_BYTES, heap.make_room)
        self._streams: dict[int, Stream] = {}
        self._line: deque[Stream] = deque()
        #: Those that wait for what becomes of others.
        self._held_up: list[Stream] = []
        self._next_number = 0
        self._items: list[ResultItem] = []
        self._item_bytes = 0
        self._items_since_ns = 0
        #: Items that begin streams, of the batch of this sequence: they go before the chunks.
        self._begins: list[ResultItem] = []
        self._sequence = 0
        #: What is pushed waits for more.
        self._is_holding = False
        #: What came while something else was waited for.
        self._aside: deque[Frame] = deque()
        self._is_at_end = False
        #: Set while tasks drive async iterators: their loop, which also reads what the front sends.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        #: The loop runs for the streams alone, and may be stopped.
        self._is_looping = False
        self._is_flush_due = False
        #: What has ended this worker's work in a callback of the loop.
        self._ended_by: BaseException | None = None

    def __repr__(self) -> str:
        return f"<StreamPump {len(self._streams)} streams open>"

    # Reading

    def frames(self) -> Iterator[list[Frame]]:
        """Yield what the front sends, until it closes. Raises ProtocolError or OSError.

        Streams make their chunks in between. CREDIT frames may be among it: `on_credit` takes them.
        """
        decoder = self._decoder
        receive = self._work.recv_into
        # Who waits in `recv` on a Unix socket is also woken when the other side has read what was sent: the front's
        # read of an answer would wait for that, and the client for this process.
        poller = select.poll()
        poller.register(self._work, select.POLLIN)
        wait = poller.poll
        while True:
            if self._streams or self._items or self._loop is not None:
                self._advance()
            if self._aside:
                frames = [*self._aside]
                self._aside.clear()
                yield frames
                continue
            if self._is_at_end:
                return
            wait()
            size = receive(decoder.get_buffer())
            if not size:
                return
            frames = decoder.received(size)
            if frames:
                yield frames

    def on_credit(self, payload: bytes | bytearray) -> None:
        """Take a CREDIT frame. Raises ProtocolError, and SystemExit as generators that are closed do."""
        for number, more in decode_credit(payload):
            stream = self._streams.get(number)
            if stream is None:
                # Its last item was on its way already.
                continue
            if not more:
                self._close(stream)
            else:
                stream.credit += more
                if stream.credit > 0:
                    stream.on_credit()
                    self._stand_in_line(stream)

    def _read_aside(self) -> None:
        """Read once, for as long as that takes; keep what is no credit for later."""
        decoder = self._decoder
        size = self._work.recv_into(decoder.get_buffer())
        if not size:
            self._is_at_end = True
            return
        for frame in decoder.received(size):
            # In order: what stands aside already is not overtaken but by credit.
            if frame[0] == CREDIT:
                self.on_credit(frame[2])
            else:
                self._aside.append(frame)

    # Streams

    def open(self, form: ChunkForm, source: Any) -> int:
        """Have an iterator, or an async one, make a stream. Returns its number."""
        number = self._new_number()
        if is_async_stream(source):
            loop = self._begin_loop()
            self._streams[number] = driven = AsyncStream(
                number, form, source, loop, self._put_async
            )
            self._tasks.add(driven.task)
            driven.task.add_done_callback(partial(self._on_task_done, driven))
        else:
            self._streams[number] = stream = IteratorStream(number, form, source)
            self._stand_in_line(stream)
        return number

    def wake(self) -> None:
        """Have streams whose iterators gave NOT_NOW go on. Any thread may."""
        with contextlib.suppress(BlockingIOError):
            # Full, it wakes as well.
            self._waker.send(b"w")

    def open_pushed(self, form: ChunkForm) -> PushedStream:
        """Return a stream whose chunks are given to `push`."""
        number = self._new_number()
        stream = PushedStream(number, form)
        self._streams[number] = stream
        return stream

    def announce(self, sequence: int, item: ResultItem) -> None:
        """Send an item of a batch's result that begins a pushed stream. Raises OSError where the front is gone."""
        self._sequence = sequence
        self._begins.append(item)
        if not self._is_holding:
            self._flush()

    def push(self, stream: Stream, item: ResultItem) -> None:
        """Send an item of a pushed stream at once. Raises OSError where the front is gone."""
        self._put(item)
        if stream.is_ended:
            self._streams.pop(stream.number, None)
        if not self._is_holding:
            self._flush()

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Have what is announced and pushed in the block go out by one write: each costs more than a small chunk."""
        self._is_holding = True
        try:
            yield
        finally:
            self._is_holding = False
            self._flush()

    def send(self, frames: Sequence[Buffer]) -> None:
        """Send frames, also while the model's code runs and what is held is lent."""
        outbox = self._outbox
        was_lent = outbox.take_back()
        outbox.add(frames, _now_ns())
        outbox.flush()
        if was_lent:
            outbox.lend()

    def wait_for_credit(self, stream: Stream) -> bool:
        """Wait until a pushed stream may send more. Returns whether somebody waits for it.

        The model's code, and all requests behind it, wait meanwhile: a client that is too slow for that loses.
        """
        if stream.credit <= 0:
            # There is credit for what is held once it has been sent.
            self._flush()
        until = time.monotonic() + MOST_WAIT_S
        while not stream.is_ended and stream.credit <= 0 and not self._is_at_end:
            left_s = until - time.monotonic()
            if select.select((self._work,), (), (), max(left_s, 0))[0]:
                self._read_aside()
            elif left_s <= 0:
                stream.is_ended = True
                self.push(stream, (stream.number, FAILED, 503, b"", b"", _TOO_SLOW))
        return not stream.is_ended and not self._is_at_end

    def follow(self, stream: Stream, number: int) -> None:
        """Have the stream of this number, which nobody has been told of, go on where a pushed one ends."""
        successor = self._streams.pop(number)
        if stream.is_ended:
            successor.close()
            return
        successor.number = stream.number
        successor.credit = stream.credit
        successor.has_begun = stream.has_begun
        self._streams[stream.number] = successor

    def _new_number(self) -> int:
        self._next_number = (self._next_number + 1) & 0xFFFFFFFF
        return self._next_number

    def _stand_in_line(self, stream: Stream) -> None:
        if isinstance(stream, IteratorStream) and not stream.is_in_line:
            stream.is_in_line = True
            self._line.append(stream)

    def _let_go_on(self) -> None:
        held_up, self._held_up = self._held_up, []
        for stream in held_up:
            self._stand_in_line(stream)

    def _close(self, stream: Stream) -> None:
        """Nobody waits for it: its code is ended. The front is told once it is, as it keeps the place until then."""
        has_ended = True
        try:
            has_ended = stream.close()
        finally:
            if has_ended:
                del self._streams[stream.number]
                self._put((stream.number, END, 0, b"", b"", b""))
            self._let_go_on()

    def cut_slow(self, iterator: Any) -> None:
        """End the stream of an iterator whose client is too slow for the others that wait for it."""
        for stream in self._streams.values():
            if isinstance(stream, IteratorStream) and stream.comes_from(iterator):
                del self._streams[stream.number]
                stream.close()
                self._put((stream.number, FAILED, 503, b"", b"", _TOO_SLOW))
                return

    # Chunks

    def _advance(self) -> None:
        """Have chunks made until the front has something to say, or only it could change anything."""
        while True:
            if self._line:
                self._take_turns()
            self._flush()
            if self._aside or self._is_at_end:
                return
            if self._loop is not None:
                self._run_loop(self._loop)
            elif not self._line and not self._held_up:
                # What is open waits for the front alone.
                return
            else:
                readable, _, _ = select.select(
                    (self._work, self._woken), (), (), 0 if self._line else _LOOK_S
                )
                if not readable:
                    self._let_go_on()
                if self._woken in readable:
                    self._on_woken()
                if self._work in readable:
                    return

    def _on_woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._woken.recv(4096):
                pass
        self._let_go_on()
        self._stop_loop()

    def _take_turns(self) -> None:
        line = self._line
        now_ns = _now_ns()
        until_ns = now_ns + _ROUND_NS
        while line and now_ns < until_ns:
            stream = line.popleft()
            stream.is_in_line = False
            if stream.is_ended or stream.credit <= 0:
                continue
            if self._items and (
                stream.quick_steps < _QUICK_STEPS
                or now_ns + stream.step_ns - self._items_since_ns > _HOLD_NS
            ):
                self._flush()
            self._take_turn(stream)
            ended_ns = _now_ns()
            stream.step_ns = step_ns = ended_ns - now_ns
            stream.quick_steps = stream.quick_steps + 1 if step_ns < _HOLD_NS else 0
            now_ns = ended_ns

    def _take_turn(self, stream: Stream) -> None:
        try:
            item = stream.step()
        except SystemExit:
            # Its end is what the model asked for; what is done already must not go with it.
            self._flush()
            raise
        if item is not None:
            self._put(item)
        if stream.is_ended:
            del self._streams[stream.number]
        elif stream.is_held_up:
            self._held_up.append(stream)
        elif stream.credit > 0:
            self._stand_in_line(stream)
        if self._held_up and not stream.is_held_up:
            self._let_go_on()

    def _put(self, item: ResultItem) -> None:
        if not self._items:
            self._items_since_ns = _now_ns()
        self._items.append(item)
        self._item_bytes += len(item[5])
        if len(self._items) >= _MAX_ITEMS or self._item_bytes >= _MAX_BYTES:
            self._flush()

    def _flush(self) -> None:
        """Send what is made. Also while the outbox is lent. Raises OSError where the front is gone."""
        if not self._items and not self._begins:
            return
        frames: list[Buffer] = []
        if self._begins:
            begins, self._begins = self._begins, []
            frames += encode_result(self._sequence, 0, 0, begins, len(begins))
        if self._items:
            items, self._items = self._items, []
            self._item_bytes = 0
            frames += encode_chunks(items)
        self.send(frames)

    # Async iterators

    def _begin_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = event_loop()
            self._loop.add_reader(self._work, self._on_readable)
            self._loop.add_reader(self._woken, self._on_woken)
        return self._loop

    def _run_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run the tasks: once around where iterators wait for their turn, else until something has happened."""
        if self._tasks:
            look = None
            if self._line:
                loop.call_soon(loop.stop)
            elif self._held_up:
                look = loop.call_later(_LOOK_S, self._look_at_held_up)
            self._is_looping = True
            try:
                loop.run_forever()
            finally:
                self._is_looping = False
                if look is not None:
                    look.cancel()
        if not self._tasks:
            loop.remove_reader(self._work)
            loop.remove_reader(self._woken)
            self._loop = None
        if self._ended_by is not None:
            raise self._ended_by

    def _look_at_held_up(self) -> None:
        self._let_go_on()
        self._stop_loop()

    def _stop_loop(self) -> None:
        if self._is_looping and self._loop is not None:
            self._loop.stop()

    def _on_task_done(self, stream: AsyncStream, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if stream.is_closed and self._streams.pop(stream.number, None) is not None:
            self._put((stream.number, END, 0, b"", b"", b""))
            self._flush_soon()
        if not task.cancelled():
            # It was logged, and its stream has its end; asyncio is not to complain.
            task.exception()
        if not self._tasks:
            self._stop_loop()

    def _on_readable(self) -> None:
        try:
            self._read_aside()
        except BaseException as error:
            self._end_by(error)
        if self._is_at_end and self._loop is not None:
            # It would stay readable.
            self._loop.remove_reader(self._work)
        self._stop_loop()

    def _put_async(self, stream: AsyncStream, item: ResultItem) -> None:
        """Take an item that a task has made: while the loop runs for the streams, or for an async entry point."""
        if self._streams.get(stream.number) is not stream or stream.is_closed:
            return
        if stream.is_ended:
            del self._streams[stream.number]
        self._put(item)
        self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._is_flush_due and self._loop is not None:
            # Others of this turn of the loop go with it.
            self._is_flush_due = True
            self._loop.call_soon(self._flush_async)

    def _flush_async(self) -> None:
        self._is_flush_due = False
        try:
            self._flush()
        except OSError as error:
            self._end_by(error)

    def _end_by(self, error: BaseException) -> None:
        self._ended_by = error
        if self._loop is not None:
            self._loop.remove_reader(self._work)
        self._stop_loop()
