"""MMS's policy, to the millisecond."""

from __future__ import annotations

from typing import ClassVar

from mms.core.batching.policy import BatchingPolicy, BatchQueue, FreeWorker


class FixedPolicy(BatchingPolicy):
    """Has the first request start the clock; the batch goes when it is full or the delay is over."""

    name: ClassVar[str] = "fixed"
    help: ClassVar[str] = "a batch goes when it is full or max_batch_delay is over, as in MMS"

    def size(self, model: BatchQueue, worker: FreeWorker, now: float) -> int:
        size = self._size_for_idle_worker(model, worker.batch_size, now)
        # Nothing is sent ahead: it could still be filled.
        return 0 if worker.in_flight else size

    def _size_for_idle_worker(self, model: BatchQueue, batch_size: int, now: float) -> int:
        delay_s = model.config.max_batch_delay_s
        size = len(model.queue)
        if size >= batch_size and delay_s > 0:
            return batch_size
        if delay_s <= 0:
            return min(size, 2)
        if self.assembly_since is None:
            self.assembly_since = now
        ends_at = self.assembly_since + delay_s
        if now >= ends_at or model.is_closed:
            return size
        model.wake_at = ends_at
        return 0
