"""A look at what a model version has to do, made of counters that are there anyway."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mms.core.worker import WorkerState

if TYPE_CHECKING:
    from mms.core.model import ModelVersion

_COMING = (WorkerState.STARTING, WorkerState.LOADING)
_GONE = (WorkerState.DRAINING, WorkerState.STOPPED)


@dataclass(frozen=True, slots=True)
class LoadSample:
    """A model version at a moment of `time.monotonic()`."""

    at: float
    #: Workers that are not on their way out: those that wait for their next start, too.
    workers: int
    #: Those that have been started and have not loaded yet.
    coming: int
    #: Those that run something.
    busy: int
    #: Requests that no worker has begun.
    waiting: int
    #: Requests that workers run.
    running: int
    #: Requests that have come since the model is there.
    arrived: int
    #: How long the one has waited that waits longest, in seconds.
    delay_s: float
    #: What a request costs a worker in full batches, in seconds; 0: batches have one request, or nobody knows.
    full_batch_s: float = 0.0


def sample_load(model: ModelVersion, now: float) -> LoadSample:
    """Look at a model version. Costs nothing while nobody looks."""
    since = now
    active = coming = busy = running = 0
    for worker in model.workers:
        batches = worker.in_flight
        busy += bool(batches or worker.streams)
        running += len(worker.streams)
        if batches:
            running += len(batches[0].requests)
            if len(batches) > 1:
                since = min(since, batches[1].requests[0].received_at)
        if worker.state not in _GONE and worker.replaces is None:
            active += 1
            coming += worker.state in _COMING
    if model.queue:
        since = min(since, model.queue[0].received_at)
    return LoadSample(
        at=now,
        workers=active,
        coming=coming,
        busy=busy,
        waiting=model.waiting,
        running=running,
        arrived=model.arrivals.total,
        delay_s=now - since,
        full_batch_s=_full_batch_s(model),
    )


def _full_batch_s(model: ModelVersion) -> float:
    size = model.config.batch_size
    if size == 1:
        return 0.0
    fixed_s, per_item_s = model.cost.fit()
    return fixed_s / size + per_item_s
