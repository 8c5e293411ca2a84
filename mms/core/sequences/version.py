"""The decisions of a model version whose requests belong to sequences.

A sequence stays with the worker that had its first request, which keeps what belongs to it, for as long as that process
lives. Its requests go there one after the other: a call has one request of each sequence at most. A running batch has
requests of `batch_size` sequences, and has room for as many more of these while they stream.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from mms.core.batching.policy import BatchingPolicy
from mms.core.config import ModelConfig
from mms.core.model import ModelVersion
from mms.core.request import EXPIRED_QUEUED, Request
from mms.core.sequences.rules import SequenceRules
from mms.core.sequences.sequence import Sequence, Sequences
from mms.core.worker import Batch, Worker, WorkerState
from mms.errors import RequestTimeout, ServiceUnavailable

if TYPE_CHECKING:
    from mms.core.batching.cost import ArrivalGap, BatchCost


class SequencedVersion(ModelVersion):
    """One version of a model with sequences."""

    def __init__(self, name: str, version: str | None, config: ModelConfig) -> None:
        super().__init__(name, version, config)
        self.sequences = Sequences(config.sequences or SequenceRules())
        #: When each worker got its newest sequence, counted in sequences.
        self._newest: dict[Worker, int] = {}
        self._begun = 0
        #: Each worker's batch fills by itself.
        self._policies: dict[Worker, BatchingPolicy] = {}

    def reconfigure(self, config: ModelConfig) -> None:
        super().reconfigure(config)
        self.sequences.rules = config.sequences or self.sequences.rules
        self._policies.clear()

    # Requests in

    @property
    def most_sequences(self) -> int:
        """Sequences at once."""
        places = self.config.batch_size * max(len(self.workers), 1)
        return self.sequences.rules.most or places

    def describe_sequences(self, now: float) -> dict[str, int]:
        """Return how many sequences there are, and the rules by the names of `model-config.yaml`: JSON-able."""
        rules = self.sequences.rules
        return {
            "open": self.sequences.count(now),
            "sequenceMaxIdleMSec": round(rules.max_idle_s * 1000),
            "sequenceTimeoutMSec": round(rules.timeout_s * 1000),
            "maxNumSequence": self.most_sequences,
            "maxSequenceJobQueueSize": rules.most_waiting,
        }

    def try_enqueue(self, request: Request) -> bool:
        found = self.sequences.place_for(request, self.most_sequences)
        if found is None or not super().try_enqueue(request):
            return False
        sequence, is_named = found
        self.sequences.join(sequence, request, is_named=is_named)
        return True

    def enqueue(self, request: Request) -> None:
        try:
            super().enqueue(request)
        except ServiceUnavailable as error:
            reason = self.sequences.refusal
            if not reason:
                raise
            text = f"No worker is available to serve request for model: {self.name}. {reason}"
            raise ServiceUnavailable(text, retry_after_s=error.retry_after_s) from None

    # Batches out

    def dispatch(self, now: float) -> list[tuple[Worker, Batch]]:
        self.wake_at = None
        if self._arrived:
            self.arrivals.observe(self._arrived, now)
            self._arrived = 0
        if not self.queue:
            return []
        self._drop_late(now)
        batches: list[tuple[Worker, Batch]] = []
        for worker, ready in self._ready(now).items():
            size = self._size(worker, ready, now)
            taken = ready[:size]
            for request in taken:
                self.queue.remove(request)
            if taken:
                try:
                    batches.append((worker, self._send(worker, taken, now)))
                except Exception:
                    self.queue.extendleft(reversed(taken))
                    raise
        return batches

    def finish_head(
        self, worker: Worker, entry_point_s: float, is_success: bool, now: float
    ) -> Batch:
        batch = super().finish_head(worker, entry_point_s, is_success, now)
        for request in batch.requests:
            if request.sequence is not None:
                request.sequence.used_at = now
        return batch

    def _send(self, worker: Worker, requests: list[Request], now: float) -> Batch:
        batch = super()._send(worker, requests, now)
        for request in requests:
            sequence = request.sequence
            if sequence is not None:
                sequence.running = request
                sequence.bind(worker)
        return batch

    def _drop_late(self, now: float) -> None:
        for request in list(self.queue):
            if request.is_done:
                self.queue.remove(request)
            elif request.deadline and request.deadline <= now:
                self.queue.remove(request)
                self.unanswered.expired_queued += 1
                request.fail(RequestTimeout(EXPIRED_QUEUED))

    def _ready(self, now: float) -> dict[Worker, list[Request]]:
        """Return which requests each free worker could have now, in their order: one of each sequence."""
        workers = self._usable()
        counts: Counter[Worker] | None = None
        #: The sequences of running batches, and those that are to join.
        running: dict[Worker, set[Sequence | None]] = {}
        found: dict[Worker, list[Request]] = {}
        seen: set[Sequence] = set()
        for request in self.queue:
            sequence = request.sequence
            if sequence is None or sequence in seen:
                continue
            seen.add(sequence)
            # One that was sent and came back is not what it waits for.
            if request is not sequence.running and not sequence.may_go_on():
                continue
            worker = next((each for each in workers if sequence.is_with(each)), None)
            if worker is None:
                if not workers:
                    continue
                if counts is None:
                    counts = self.sequences.by_worker(now)
                worker = self._worker_for_another(workers, counts)
                sequence.bind(worker)
                counts[worker] += 1
            if not _is_free(worker):
                continue
            if worker.is_continuous:
                its = running.setdefault(worker, {each.request.sequence for each in worker.streams})
                if sequence not in its and len(its) >= worker.batch_size:
                    continue
                its.add(sequence)
            found.setdefault(worker, []).append(request)
        return found

    def _worker_for_another(self, workers: list[Worker], counts: Counter[Worker]) -> Worker:
        """Return the worker that gets a new sequence: of those with the fewest, the one that has waited for longest.

        So one that is over by its time, and goes on all the same, seldom meets again what its handler has kept of it.
        """
        newest = self._newest
        worker = min(
            workers,
            key=lambda each: (counts[each], len(each.in_flight), newest.get(each, 0)),
        )
        self._begun += 1
        newest[worker] = self._begun
        return worker

    def _usable(self) -> list[Worker]:
        """Return the workers that serve; where no other is left, those on their way out."""
        ready = [worker for worker in self.workers if worker.state is WorkerState.READY]
        if ready or self.has_active_worker:
            return ready
        return [
            worker
            for worker in self.workers
            if worker.state is WorkerState.DRAINING and worker.link is not None and worker.ready_at
        ]

    def _size(self, worker: Worker, ready: list[Request], now: float) -> int:
        """Return how many of them go at once."""
        alone = next((place for place, each in enumerate(ready) if each.is_solo), None)
        if alone is not None:
            # By itself, after those before it.
            return alone or 1
        size = 1
        if worker.batch_size > 1:
            policy = self._policies.get(worker)
            if policy is None:
                policy = self._policies[worker] = type(self.policy.rule)()
            waiting = _Waiting(self, ready)
            size = policy.size(waiting, worker, now)
            if size:
                policy.assembly_since = None
            elif waiting.wake_at is not None:
                self.wake_at = min(self.wake_at or waiting.wake_at, waiting.wake_at)
        return min(size, worker.places) if worker.is_continuous else size

    def recount(self) -> None:
        super().recount()
        self._policies = {w: rule for w, rule in self._policies.items() if w in self.workers}
        self._newest = {w: count for w, count in self._newest.items() if w in self.workers}


class _Waiting:
    """What one worker could have, as its batching policy sees it."""

    def __init__(self, model: SequencedVersion, queue: list[Request]) -> None:
        self._model = model
        self.queue = queue
        self.config = model.config
        self.cost: BatchCost = model.cost
        self.arrivals: ArrivalGap = model.arrivals
        self.is_closed = model.is_closed
        self.wake_at: float | None = None

    @property
    def workers(self) -> list[Worker]:
        return self._model.workers

    def has_more_idle_workers(self) -> bool:
        """Another worker cannot have them."""
        return False


def _is_free(worker: Worker) -> bool:
    """Return whether a worker can have requests now. Nothing is sent ahead, as it may have been begun when it ends."""
    if worker.in_flight or not worker.has_stream_room:
        return False
    return not worker.is_continuous or bool(worker.places)
