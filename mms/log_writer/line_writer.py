"""Writes log lines in a thread, so that a slow disk or a reader of standard output who stopped never holds the loop."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable

from mms.log_writer.sink import Sink, report_to_stderr


class DropReport:
    """Tells people when lines begin to be dropped, and how many were once that is over."""

    def __init__(self, name: str, report: Callable[[str], None]) -> None:
        self._name = name
        self._report = report
        self._lines = 0
        #: Those who drop and those who catch up are different threads.
        self._lock = threading.Lock()

    def dropping(self, lines: int) -> None:
        with self._lock:
            is_first = not self._lines
            self._lines += lines
        if is_first:
            self._report(
                f"{self._name}: the output takes lines more slowly than they come; lines are being dropped."
            )

    def caught_up(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, 0
        if lines:
            self._report(f"{self._name}: {lines} lines were dropped; lines are written again.")


class LineWriter:
    """One thread with a queue in front of it. `put` is called from any thread and never waits for the output.

    What is queued and what the thread holds are guarded by one condition. The thread starts with the first `put`.
    """

    def __init__(
        self,
        name: str,
        limit_bytes: int,
        *,
        report: Callable[[str], None] = report_to_stderr,
        on_progress: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self.dropped_lines = 0
        #: Items of `put`, and their lines, that are no longer in the queue: written, held by their sink, or dropped.
        self.done_items = 0
        self.done_lines = 0
        self._limit_bytes = limit_bytes
        self._report = report
        self._on_progress = on_progress
        self._queue: deque[tuple[Sink, bytes, int]] = deque()
        self._queued_bytes = 0
        self._is_writing = False
        self._is_closed = False
        self._drops = DropReport(name, report)
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._sinks: set[Sink] = set()

    def __repr__(self) -> str:
        return f"<LineWriter {self.name}, {self._queued_bytes} bytes queued>"

    def put(self, items: Iterable[tuple[Sink, bytes, int]]) -> None:
        """Queue (sink, whole lines, how many they are). Over the limit they are dropped and counted."""
        dropped = 0
        with self._changed:
            if self._is_closed:
                return
            for sink, data, lines in items:
                self._sinks.add(sink)
                if self._queued_bytes and self._queued_bytes + len(data) > self._limit_bytes:
                    self._drop(lines)
                    dropped += lines
                    continue
                self._queue.append((sink, data, lines))
                self._queued_bytes += len(data)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
                self._thread.start()
            self._changed.notify_all()
        if dropped:
            self._drops.dropping(dropped)

    def _drop(self, lines: int) -> None:
        self.dropped_lines += lines
        self.done_lines += lines
        self.done_items += 1

    def wait_until_written(self, timeout_s: float) -> bool:
        """Wait for all that was put so far. False where the time was not enough."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._queue and not self._is_writing, timeout_s
            )

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what is queued, close the sinks, end the thread; give up after `timeout_s`."""
        with self._changed:
            if self._is_closed:
                return
            self._is_closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is None:
            return
        thread.join(timeout_s)
        if thread.is_alive():
            self._report(f"{self.name}: gave up writing {self._queued_bytes} bytes of log.")

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._is_closed)
                if not self._queue:
                    break
                items = list(self._queue)
                self._queue.clear()
                self._is_writing = True
            for sink, data, lines in items:
                sink.write(data)
                with self._changed:
                    self._queued_bytes -= len(data)
                    self.done_items += 1
                    self.done_lines += lines
            with self._changed:
                self._is_writing = False
                has_caught_up = not self._queue
                self._changed.notify_all()
            if has_caught_up:
                self._drops.caught_up()
            if self._on_progress is not None:
                self._on_progress()
        for sink in self._sinks:
            sink.close()
