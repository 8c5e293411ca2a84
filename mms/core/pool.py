"""How many workers a model version should have, and which of them come and go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from mms.core.model import ModelVersion
from mms.core.worker import Worker, WorkerState


class Pool:
    """Owner of a model version's list of workers."""

    def __init__(self, model: ModelVersion, gpus: Sequence[int] = ()) -> None:
        """`gpus`: those that its workers are spread over."""
        self.model = model
        self.gpus = gpus
        self.min_workers = 0
        self.max_workers = 0
        #: How many workers a request starts that finds none.
        self.first_workers = 1
        self._next_index = 0

    def __repr__(self) -> str:
        return f"<Pool of {self.model.name}: {len(self.active)}, {self.min_workers} to {self.max_workers}>"

    @property
    def active(self) -> list[Worker]:
        """The workers that are not on their way out."""
        gone = (WorkerState.DRAINING, WorkerState.STOPPED)
        return [worker for worker in self.model.workers if worker.state not in gone]

    def scale(
        self, min_workers: int, max_workers: int, gpu_load: Iterable[int] = ()
    ) -> tuple[list[Worker], list[Worker]]:
        """Set the bounds. Returns (workers to start, workers to stop): too few are filled up to the minimum, too many
        are cut down to the maximum, newest first.

        `gpu_load`: the GPU of each worker of other models, for ties.
        """
        self.min_workers = min_workers
        self.max_workers = max_workers
        places, _ = self._places()
        if len(places) < min_workers:
            others = Counter(gpu_load)
            return [self._add(others) for _ in range(min_workers - len(places))], []
        return [], self.shrink(max_workers)

    def shrink(self, count: int) -> list[Worker]:
        """Return the workers to stop, the newest first, so that so many are left."""
        places, successors = self._places()
        stops: list[Worker] = []
        for worker in reversed(places[count:]):
            stops.append(worker)
            if worker in successors:
                stops.append(successors[worker])
        for worker in stops:
            worker.state = WorkerState.DRAINING
            worker.reason = "scaled down"
        return stops

    def _places(self) -> tuple[list[Worker], dict[Worker, Worker]]:
        """Return the active workers, and those that are to take the place of one: both together count once."""
        active = self.active
        successors = {
            w.replaces: w for w in active if w.replaces is not None and w.replaces in active
        }
        return [w for w in active if w not in successors.values()], successors

    def grow(self, count: int, gpu_load: Iterable[int] = ()) -> list[Worker]:
        """Return so many more workers to start, as far as the maximum lets it have them. `gpu_load`: as in `scale`."""
        others = Counter(gpu_load)
        return [self._add(others) for _ in range(min(count, self.max_workers - len(self.active)))]

    def replace(self, worker: Worker) -> Worker:
        """Return a worker to start, for the place of one that is to leave once the new one serves."""
        successor = self._new(worker.gpu_id)
        successor.replaces = worker
        return successor

    def remove(self, worker: Worker) -> None:
        """The worker has ended for good."""
        worker.state = WorkerState.STOPPED
        if worker in self.model.workers:
            self.model.workers.remove(worker)

    def _add(self, others: Counter[int]) -> Worker:
        return self._new(self._least_loaded_gpu(others))

    def _new(self, gpu_id: int | None) -> Worker:
        index = self._next_index
        self._next_index += 1
        worker = Worker(index, f"W-{self.model.name[:25]}-{index}", gpu_id)
        worker.batch_size = self.model.config.batch_size
        worker.running_places = self.model.config.running_places
        self.model.workers.append(worker)
        return worker

    def _least_loaded_gpu(self, others: Counter[int]) -> int | None:
        """Return the GPU with the fewest workers of this model; among equals, of all models."""
        if not self.gpus:
            return None
        own = Counter(w.gpu_id for w in self.model.workers if w.gpu_id is not None)
        return min(self.gpus, key=lambda gpu: (own[gpu], others[gpu], gpu))
