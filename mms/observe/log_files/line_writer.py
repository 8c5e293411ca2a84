"""Writes log lines in a thread, so that a slow disk or a reader of standard output who stopped never holds the loop."""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from mms.observe.log_files.rotating_file import report_to_stderr


class Sink(Protocol):
    """Where lines end up. Used from one thread."""

    def write(self, data: bytes) -> None:
        """Append whole lines. Never raises."""

    def close(self) -> None: ...


class StreamSink:
    """An inherited file descriptor such as standard output. Given up for good once its reader is gone."""

    def __init__(self, fd: int, *, report: Callable[[str], None] = report_to_stderr) -> None:
        self._fd = fd
        self._report = report
        self._is_gone = False

    def __repr__(self) -> str:
        return f"<StreamSink of fd {self._fd}{', gone' if self._is_gone else ''}>"

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest and not self._is_gone:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:
                # Whoever shares the descriptor made it non-blocking.
                select.select((), (self._fd,), (), 1.0)
            except OSError as error:
                self._is_gone = True
                self._report(
                    f"cannot write the log to standard output: {error.strerror}. "
                    "It goes to the log files alone from now on."
                )

    def close(self) -> None:
        """The descriptor belongs to the process."""


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
    ) -> None:
        self.name = name
        self.dropped_lines = 0
        self._limit_bytes = limit_bytes
        self._report = report
        self._queue: deque[tuple[Sink, bytes]] = deque()
        self._queued_bytes = 0
        self._is_writing = False
        self._is_closed = False
        self._is_dropping = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._sinks: set[Sink] = set()

    def __repr__(self) -> str:
        return f"<LineWriter {self.name}, {self._queued_bytes} bytes queued>"

    def put(self, items: Iterable[tuple[Sink, bytes]]) -> None:
        """Queue whole lines for their sinks. Over the limit they are dropped and counted."""
        has_begun_dropping = False
        with self._changed:
            if self._is_closed:
                return
            for sink, data in items:
                self._sinks.add(sink)
                if self._queued_bytes and self._queued_bytes + len(data) > self._limit_bytes:
                    self.dropped_lines += data.count(b"\n")
                    has_begun_dropping |= not self._is_dropping
                    self._is_dropping = True
                    continue
                self._queue.append((sink, data))
                self._queued_bytes += len(data)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
                self._thread.start()
            self._changed.notify_all()
        if has_begun_dropping:
            self._report(
                f"{self.name}: the output takes lines more slowly than they come; lines are being dropped."
            )

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
            for sink, data in items:
                sink.write(data)
                with self._changed:
                    self._queued_bytes -= len(data)
            with self._changed:
                self._is_writing = False
                if not self._queue:
                    self._is_dropping = False
                self._changed.notify_all()
        for sink in self._sinks:
            sink.close()
