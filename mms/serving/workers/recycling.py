"""Workers that leave after a number of requests, or once they hold too much memory; their successors serve first."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mms import faults
from mms.core import Worker, WorkerState
from mms.machine.memory import resident_bytes
from mms.serving.workers.load_outcome import LoadOutcome
from mms.serving.workers.runner import WorkerRunner

if TYPE_CHECKING:
    from mms.serving.served import PooledModel

logger = logging.getLogger("mms.serving")

#: How often the memory of workers is looked at, in seconds.
_LOOK_S = 1.0
#: How often it is looked whether a successor serves, in seconds.
_WAIT_S = 0.05


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """When a worker leaves; 0: never. The memory is its resident set."""

    max_requests: int = 0
    memory_bytes: int = 0

    def __bool__(self) -> bool:
        return bool(self.max_requests or self.memory_bytes)


class RecycledRunner(WorkerRunner):
    """A runner that counts, for models whose workers have limits."""

    def __init__(
        self,
        *arguments: Any,
        limits: WorkerLimits,
        on_spent: Callable[[Worker, str], None],
        **more: Any,
    ) -> None:
        super().__init__(*arguments, **more)
        self._limits = limits
        self._on_spent = on_spent
        self._answered = 0
        #: What the process held when it had loaded.
        self._loaded_bytes = 0

    def on_result(
        self, sequence: int, payload: bytes | bytearray, attachments: Sequence[bytes | bytearray]
    ) -> None:
        in_flight = self.worker.in_flight
        batch = in_flight[0] if in_flight else None
        super().on_result(sequence, payload, attachments)
        if batch is not None and (not in_flight or in_flight[0] is not batch):
            self._answered += len(batch.requests)
            if 0 < self._limits.max_requests <= self._answered:
                self._on_spent(self.worker, f"has answered {self._answered} requests")

    def _note(self, outcome: LoadOutcome) -> None:
        super()._note(outcome)
        if outcome.is_success:
            self._answered = 0
            self._loaded_bytes = self._held_bytes()

    def _held_bytes(self) -> int:
        """Return its resident set, by its node's word where it runs on another machine."""
        link = self.worker.link
        if link is not None and link.node and not link.pid:
            return int(link.memory_bytes)
        return resident_bytes(self.worker.pid)

    def check_memory(self) -> None:
        worker = self.worker
        limit = self._limits.memory_bytes
        if worker.state is not WorkerState.READY:
            return
        held = self._held_bytes()
        # A node says a moment after the load what a worker there holds.
        self._loaded_bytes = self._loaded_bytes or held
        if held <= limit:
            return
        if self._loaded_bytes > limit:
            if self._loaded_bytes != _TOLD:
                logger.warning(
                    "Worker %s holds %d bytes just after loading its model, more than worker_memory_limit. "
                    "A new worker would, too, so this one stays.",
                    worker.name,
                    self._loaded_bytes,
                )
                self._loaded_bytes = _TOLD
            return
        self._on_spent(worker, f"holds {held} bytes")


#: Stands for the size of a process once it was told that it is too large from its start.
_TOLD = 1 << 63


@dataclass(slots=True)
class _Due:
    """The workers of a model that are to leave, one after the other: each successor needs room for the model."""

    workers: deque[tuple[Worker, str]] = field(default_factory=deque)
    task: asyncio.Task[None] | None = None


class Recycling:
    """Replaces workers that have reached a limit."""

    def __init__(
        self,
        limits: WorkerLimits,
        served_models: Callable[[], Iterable[PooledModel]],
        run: Callable[[PooledModel, Worker], None],
    ) -> None:
        """`run` starts a worker of a model."""
        self.limits = limits
        self._served_models = served_models
        self._run = run
        self._due: dict[PooledModel, _Due] = {}
        self._stops: set[asyncio.Task[bool]] = set()
        self._timer: asyncio.TimerHandle | None = None
        if limits.memory_bytes:
            self._look()

    def __repr__(self) -> str:
        return f"<Recycling {self.limits}, {len(self._due)} models>"

    def on_spent(self, served: PooledModel, worker: Worker, reason: str) -> None:
        """A worker has reached a limit. May be called again and again until it is gone."""
        if worker.state is not WorkerState.READY:
            return
        due = self._due.setdefault(served, _Due())
        if any(w is worker for w, _ in due.workers):
            return
        due.workers.append((worker, reason))
        if due.task is None:
            due.task = asyncio.get_running_loop().create_task(self._replace_all(served, due))

    def close(self) -> None:
        """Replace no more."""
        if self._timer is not None:
            self._timer.cancel()
        for due in self._due.values():
            if due.task is not None:
                due.task.cancel()
        self._due.clear()

    def _look(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_LOOK_S, self._look)
        with faults.contained("recycling"):
            for served in self._served_models():
                for runner in list(served.runners.values()):
                    if isinstance(runner, RecycledRunner):
                        with faults.contained("recycling", served.name, served.version):
                            runner.check_memory()

    async def _replace_all(self, served: PooledModel, due: _Due) -> None:
        try:
            while due.workers:
                worker, reason = due.workers[0]
                with faults.contained("recycling", served.name, served.version):
                    await self._replace(served, worker, reason)
                due.workers.popleft()
        finally:
            due.task = None
            if self._due.get(served) is due:
                del self._due[served]

    async def _replace(self, served: PooledModel, worker: Worker, reason: str) -> None:
        if worker.state is not WorkerState.READY:
            return
        successor = served.pool.replace(worker)
        logger.info(
            "Worker %s of model %s %s; %s replaces it.",
            worker.name,
            served.name,
            reason,
            successor.name,
        )
        try:
            self._run(served, successor)
        except Exception:
            # Nothing would ever start it.
            served.pool.remove(successor)
            raise
        while not (successor.state is WorkerState.READY and successor.is_model_ready):
            await asyncio.sleep(_WAIT_S)
            if _is_leaving(served, successor):
                # The model is scaled down or gone.
                return
        successor.replaces = None
        if _is_leaving(served, worker):
            return
        runner = served.runners[worker]
        worker.reason = reason
        # No time limit: what it runs is no less worth than what others run, and the response timeout holds.
        stop = asyncio.get_running_loop().create_task(runner.stop(None))
        self._stops.add(stop)
        stop.add_done_callback(self._stops.discard)


def _is_leaving(served: PooledModel, worker: Worker) -> bool:
    return worker not in served.runners or worker.state is WorkerState.DRAINING
