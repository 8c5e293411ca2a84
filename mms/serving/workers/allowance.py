"""How many workers the machine lets a model have: by its CPUs or GPUs, and by its memory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from mms.core import Worker, WorkerState
from mms.core.scaling.policy import Allowance
from mms.machine.cpus import available_cpus
from mms.machine.free_memory import free_memory
from mms.machine.memory import resident_bytes

if TYPE_CHECKING:
    from mms.serving.served import PooledModel

#: Of the memory that is free so much stays free.
_RESERVE_BYTES = 256 * 2**20
#: Workers have been seen busy for so long, in seconds, before what they use of the CPUs is known.
_LEAST_BUSY_S = 2.0
#: Even a worker that only waits uses so much of a CPU.
_LEAST_SHARE = 0.05
#: Parts of a CPU by which a measured share may be too high.
_SLACK = 0.3


class CpuUse:
    """What the workers of a model use of the CPUs while they run something."""

    def __init__(self) -> None:
        #: Of each worker: its process, what that had used when it was first seen, and how long it was busy, in seconds.
        self._seen: dict[Worker, tuple[int, float, float]] = {}
        self._looked_at = 0.0

    def observe(self, workers: list[Worker], now: float) -> None:
        """Look which of them are busy."""
        passed_s = min(now - self._looked_at, 1.0)
        self._looked_at = now
        before, self._seen = self._seen, {}
        for worker in workers:
            if worker.state is not WorkerState.READY or not worker.pid:
                continue
            pid, used_s, busy_s = before.get(worker, (0, 0.0, 0.0))
            if pid != worker.pid:
                pid, used_s, busy_s = worker.pid, _cpu_seconds(worker.pid), 0.0
            elif worker.in_flight or worker.streams:
                busy_s += passed_s
            self._seen[worker] = (pid, used_s, busy_s)

    @property
    def share(self) -> float:
        """How many CPUs a busy worker uses, 1 where that is not known."""
        busy_s = sum(busy_s for _, _, busy_s in self._seen.values())
        if busy_s < _LEAST_BUSY_S:
            return 1.0
        used_s = sum(_cpu_seconds(pid) - used_s for pid, used_s, _ in self._seen.values())
        return max(used_s / busy_s, _LEAST_SHARE)


def _cpu_seconds(pid: int) -> float:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            members = file.read().rpartition(")")[2].split()
        return (int(members[11]) + int(members[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0


def allowance_of(
    served: PooledModel, use: CpuUse, most: int, free: Callable[[], int] = free_memory
) -> Allowance:
    """Return how many workers a model may have. Reads files of `/proc`, for models that want more alone.

    `most`: that any model may have.
    """
    active = served.pool.active
    backoff = served.model.load_backoff
    if not backoff.may_load(time.monotonic()):
        return Allowance(len(active), f"there are: a load has failed ({backoff.reason})")
    by_setting = Allowance(most, "max_workers_per_model allows")
    if served.runs_on_nodes:
        # Ray knows what room there is, and has its autoscaler make more.
        return by_setting
    allowed = [_by_processors(served, use), by_setting]
    held = max((resident_bytes(worker.pid) for worker in active if worker.pid), default=0)
    if held:
        more = max(free() - _RESERVE_BYTES, 0) // held
        reason = f"the free memory has room for, at {held // 2**20} MiB a worker"
        allowed.append(Allowance(len(active) + more, reason))
    return min(allowed, key=lambda each: each.workers)


def _by_processors(served: PooledModel, use: CpuUse) -> Allowance:
    if served.gpus:
        return Allowance(len(served.gpus), f"{_count(len(served.gpus), 'GPU')} can serve")
    share = use.share
    cpus = available_cpus()
    used = f", of which a worker uses {share:.2g}" if abs(share - 1.0) > _SLACK else ""
    return Allowance(max(int(cpus / share + _SLACK), 1), f"{_count(cpus, 'CPU')} can serve{used}")


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
