"""A bounded queue of records and the thread that writes them, so that whoever makes records neither waits nor fails."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable

from mms.tracking.sink import Sink, Undelivered

logger = logging.getLogger("mms.tracking")

MAX_RECORDS = 10_000
MAX_BYTES = 64 * 1024 * 1024
#: What one write of a sink takes at most.
_WRITE_RECORDS = 500
_WRITE_BYTES = 1024 * 1024

#: Tries of a write that may go better later, and the pause before each of them.
_PAUSES_S = (0.1, 0.5, 2.0)
#: Losses are logged at most this often.
_REPORT_S = 30.0


class Counts:
    """Counts of the records of one source. `written` and `dropped` are added to by the queue alone."""

    __slots__ = ("dropped", "written")

    def __init__(self) -> None:
        self.written = 0
        self.dropped = 0

    def __repr__(self) -> str:
        return f"<Counts {self.written} written, {self.dropped} dropped>"


class RecordQueue:
    """Owns a sink and its thread, which starts with the first record. Any thread may push."""

    def __init__(
        self,
        sink: Sink,
        name: str = "",
        *,
        max_records: int = MAX_RECORDS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        """`name`: of the sink, for the log. Beyond `max_records` or `max_bytes` what is new is dropped."""
        self.name = name
        #: Of all sources together.
        self.counts = Counts()
        self._sink = sink
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._records: deque[tuple[bytes, Counts]] = deque()
        self._size_bytes = 0
        #: Taken off the queue, but neither written nor dropped.
        self._under_way = 0
        self._changed = threading.Condition()
        self._is_closing = False
        self._deadline: float | None = None
        self._thread: threading.Thread | None = None
        self._reported_at = -_REPORT_S
        self._unreported = 0

    def __repr__(self) -> str:
        return f"<RecordQueue to {self.name}, {len(self._records)} waiting, {self.counts!r}>"

    @property
    def waiting(self) -> int:
        """Records that are neither written nor dropped."""
        return len(self._records) + self._under_way

    def push(self, records: Iterable[bytes], counts: Counts | None = None) -> int:
        """Take records, JSON texts without line ends. Returns how many found room; never raises or waits.

        `counts`: of their source.
        """
        source = counts if counts is not None else Counts()
        taken = refused = 0
        with self._changed:
            for record in records:
                size = len(record)
                if (
                    self._is_closing
                    or len(self._records) >= self._max_records
                    or self._size_bytes + size > self._max_bytes
                ):
                    refused += 1
                    continue
                self._records.append((record, source))
                self._size_bytes += size
                taken += 1
            if refused:
                self._count_dropped(source, refused)
            if taken:
                if self._thread is None:
                    self._start()
                self._changed.notify_all()
        if refused:
            self._report_loss(refused, "it is closed" if self._is_closing else "its queue is full")
        return taken

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was pushed is written or dropped. Returns whether the time was enough."""
        with self._changed:
            return self._changed.wait_for(lambda: not self.waiting, timeout_s)

    def close(self, timeout_s: float) -> bool:
        """Take no more, write what waits, end the thread. What is not written in time is dropped, and counted.

        Returns whether everything was written or given up in time.
        """
        with self._changed:
            if self._is_closing:
                return not self.waiting
            self._is_closing = True
            self._deadline = time.monotonic() + timeout_s
            thread = self._thread
            self._changed.notify_all()
        if thread is None:
            self._sink.close()
            return True
        thread.join(timeout_s)
        with self._changed:
            left = self._drop_all()
            # A write that is still under way may yet succeed; nobody will wait for it.
            is_done = not left and not self._under_way
        if left:
            self._report_loss(left, "the time to write them at the end is over", is_last=True)
        return is_done

    # The thread

    def _start(self) -> None:
        self._thread = threading.Thread(
            target=self._run, name=f"records-{self.name}"[:60], daemon=True
        )
        self._thread.start()

    def _run(self) -> None:
        try:
            while batch := self._take():
                self._write(batch)
        finally:
            self._sink.close()

    def _take(self) -> list[tuple[bytes, Counts]]:
        """Return the next records; none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._records or self._is_closing)
            batch: list[tuple[bytes, Counts]] = []
            size = 0
            while self._records and len(batch) < _WRITE_RECORDS and size < _WRITE_BYTES:
                found = self._records.popleft()
                size += len(found[0])
                batch.append(found)
            self._size_bytes -= size
            self._under_way = len(batch)
            return batch

    def _write(self, batch: list[tuple[bytes, Counts]]) -> None:
        pauses = iter(_PAUSES_S)
        while batch:
            reason, can_retry = "", False
            try:
                self._sink.write([record for record, _ in batch])
                delivered = len(batch)
            except Undelivered as error:
                delivered, reason, can_retry = error.delivered, str(error), error.can_retry
            except Exception as error:
                # A sink of another's making; the records of its models must not end with the thread.
                delivered, reason = 0, f"{type(error).__name__}: {error}"
            done, batch = batch[:delivered], batch[delivered:]
            if delivered:
                pauses = iter(_PAUSES_S)
            lost: list[tuple[bytes, Counts]] = []
            if batch and not can_retry:
                lost, batch = batch[:1], batch[1:]
            elif batch and not self._pause(next(pauses, None)):
                lost, batch = batch, []
            self._settle(done, lost)
            if lost:
                self._report_loss(len(lost), reason)

    def _pause(self, pause_s: float | None) -> bool:
        """Wait before another try. Returns whether there is to be one."""
        if pause_s is None:
            return False
        with self._changed:
            deadline = self._deadline
            if deadline is None:
                # An end that comes now wants the try at once, not in a moment.
                self._changed.wait_for(lambda: self._is_closing, pause_s)
                return True
        left_s = deadline - time.monotonic()
        if left_s <= pause_s:
            return False
        time.sleep(pause_s)
        return True

    def _settle(self, done: list[tuple[bytes, Counts]], lost: list[tuple[bytes, Counts]]) -> None:
        with self._changed:
            for _, counts in done:
                counts.written += 1
            for _, counts in lost:
                counts.dropped += 1
            self.counts.written += len(done)
            self.counts.dropped += len(lost)
            self._under_way -= len(done) + len(lost)
            self._changed.notify_all()

    def _count_dropped(self, source: Counts, count: int) -> None:
        source.dropped += count
        self.counts.dropped += count

    def _drop_all(self) -> int:
        count = len(self._records)
        while self._records:
            _, source = self._records.popleft()
            self._count_dropped(source, 1)
        self._size_bytes = 0
        self._changed.notify_all()
        return count

    def _report_loss(self, count: int, reason: str, *, is_last: bool = False) -> None:
        with self._changed:
            self._unreported += count
            now = time.monotonic()
            if not is_last and now - self._reported_at < _REPORT_S:
                return
            self._reported_at = now
            count, self._unreported = self._unreported, 0
        logger.warning("%d records for %s are lost: %s", count, self.name, reason)
