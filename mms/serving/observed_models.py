"""The models' state for metrics, and the measured memory of their workers."""

from __future__ import annotations

import time

from mms.core import Registry
from mms.observe import CustomSeries, ModelSnapshot, WorkerSnapshot
from mms.serving import ServedModel
from mms.serving.served import PooledModel
from mms.serving.workers.scaler import target_of


class ObservedModels:
    """Reads what the registry has for metrics, and takes what is measured of its workers."""

    def __init__(self, registry: Registry[ServedModel], series: CustomSeries) -> None:
        """`series`: those of models that are gone are dropped."""
        self._registry = registry
        self._series = series

    def __repr__(self) -> str:
        return f"<ObservedModels of {self._registry!r}>"

    def worker_pids(self) -> list[int]:
        return [w.pid for served in self._registry.all() for w in served.workers]

    def note_memory(self, memory: dict[int, int]) -> None:
        """`memory`: bytes by process id."""
        for served in self._registry.all():
            for worker in served.workers:
                link = worker.link
                if link is not None and not worker.pid:
                    worker.memory_bytes = link.memory_bytes
                else:
                    worker.memory_bytes = memory.get(worker.pid, 0)

    def snapshots(self) -> list[ModelSnapshot]:
        self._series.keep([served.name for served in self._registry.all()])
        return [snapshot_of(served) for served in self._registry.all()]


def snapshot_of(served: ServedModel) -> ModelSnapshot:
    """Return the state of a model at this moment."""
    statistics = served.model.statistics()
    pooled = served if isinstance(served, PooledModel) else None
    memory = pooled.memory if pooled is not None else None
    is_scaled = pooled is not None and target_of(pooled).is_active
    return ModelSnapshot(
        name=served.name,
        version=served.version or "",
        queue_length=statistics.queue_length,
        queue_capacity=statistics.queue_capacity,
        oldest_wait_s=served.model.oldest_wait_s(time.monotonic()),
        in_flight=statistics.in_flight,
        batch_policy=(statistics.batch_policy, statistics.policy_cause),
        unanswered=served.model.unanswered.by_kind(),
        open_streams=sum(len(worker.streams) for worker in served.workers),
        streams=served.model.streams.by_kind(),
        workers=[
            WorkerSnapshot(
                w.name,
                w.pid,
                w.shown_state.value,
                w.memory_bytes,
                w.restarts,
                w.gpu_id,
                w.reason,
            )
            for w in served.workers
        ],
        resident_bytes=memory.resident_bytes if memory is not None else None,
        evictions=dict(memory.evictions) if memory is not None else {},
        wanted_workers=pooled.scaling.wanted if pooled is not None and is_scaled else None,
        scaling_decisions=pooled.scaling.counts if pooled is not None else {},
    )
