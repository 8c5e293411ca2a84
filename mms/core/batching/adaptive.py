"""The policy that keeps workers busy, and waits only where waiting pays."""

from __future__ import annotations

from typing import ClassVar

from mms.core.batching.cost import is_waiting_worthwhile
from mms.core.batching.policy import BatchingPolicy, BatchQueue, FreeWorker


class AdaptivePolicy(BatchingPolicy):
    """Sends what is queued at once, in batches as large as their cost is best shared, unless waiting pays."""

    name: ClassVar[str] = "adaptive"
    help: ClassVar[str] = "an idle worker takes what waits at once, unless waiting pays"

    def size(self, model: BatchQueue, worker: FreeWorker, now: float) -> int:
        queue = model.queue
        batch_size = worker.batch_size
        waiting = size = len(queue)
        if size > 1 and not model.cost.is_quick:
            gap_s = model.arrivals.mean_s
            size = model.cost.best_size(size, batch_size, gap_s, len(model.workers))
            if size < waiting:
                return size
        if size >= batch_size:
            return batch_size
        delay_s = model.config.max_batch_delay_s
        if delay_s <= 0 or worker.in_flight or queue[0].is_solo:
            return size
        waits_until = queue[0].received_at + delay_s
        if now >= waits_until or model.has_more_idle_workers():
            return size
        gap_s = model.arrivals.mean_s
        if not is_waiting_worthwhile(size, model.cost, gap_s):
            return size
        # Arrivals that stay away end the wait: after twice the usual gap it was a wrong guess.
        last_arrival = queue[-1].received_at
        wake_at = min(waits_until, last_arrival + 2 * gap_s)
        if now >= wake_at:
            return size
        model.wake_at = wake_at
        return 0
