"""Measures the host and the workers' memory at an interval, in a thread, so that /proc never holds the loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass

from mms.observe import logger_names
from mms.observe.recorder import Recorder

_logger = logging.getLogger(logger_names.METRIC_COLLECTOR)

_MEGABYTE = 2**20
_GIGABYTE = 2**30
#: The first utilisation is measured over this time; later ones over the whole interval.
_FIRST_CPU_INTERVAL_S = 0.1


@dataclass(frozen=True, slots=True)
class HostReading:
    """The host at one moment. The disk is the one of `/`."""

    cpu_percent: float
    disk_available_bytes: int
    disk_used_bytes: int
    disk_percent: float
    memory_available_bytes: int
    memory_used_bytes: int
    memory_percent: float

    def metrics(self) -> list[tuple[str, str, float]]:
        """Return (name, unit, value) under MMS's names, in its order."""
        return [
            ("CPUUtilization", "Percent", self.cpu_percent),
            ("DiskAvailable", "Gigabytes", self.disk_available_bytes / _GIGABYTE),
            ("DiskUsage", "Gigabytes", self.disk_used_bytes / _GIGABYTE),
            ("DiskUtilization", "Percent", self.disk_percent),
            ("MemoryAvailable", "Megabytes", self.memory_available_bytes / _MEGABYTE),
            ("MemoryUsed", "Megabytes", self.memory_used_bytes / _MEGABYTE),
            ("MemoryUtilization", "Percent", self.memory_percent),
        ]


def read_host(cpu_interval_s: float | None = None) -> HostReading:
    """Measure now. Blocks for `cpu_interval_s`; None: CPU use since this thread's last call, 0 for its first."""
    import psutil  # takes time and memory that a start of the server should not

    disk = psutil.disk_usage("/")
    memory = psutil.virtual_memory()
    return HostReading(
        cpu_percent=psutil.cpu_percent(cpu_interval_s),
        disk_available_bytes=disk.free,
        disk_used_bytes=disk.used,
        disk_percent=disk.percent,
        memory_available_bytes=memory.available,
        memory_used_bytes=memory.used,
        memory_percent=memory.percent,
    )


def worker_memory(pids: Iterable[int]) -> dict[int, int]:
    """Return resident bytes by process. Processes that are gone are left out."""
    import psutil

    sizes: dict[int, int] = {}
    for pid in pids:
        try:
            sizes[pid] = psutil.Process(pid).memory_info().rss
        except psutil.Error:
            continue
    return sizes


class HostMonitor:
    """Writes the host metrics and passes on the workers' memory, at once and then at each interval.

    Without `reads_host` it is about the workers alone. `worker_pids` and `on_memory` are called on the event loop, so
    they may read and change what the loop owns. One round that fails is logged and changes nothing for the next.
    """

    def __init__(
        self,
        recorder: Recorder,
        interval_s: float,
        worker_pids: Callable[[], Iterable[int]],
        on_memory: Callable[[dict[int, int]], None],
        *,
        reads_host: bool = True,
        read: Callable[[float | None], HostReading] = read_host,
        read_memory: Callable[[Iterable[int]], dict[int, int]] = worker_memory,
    ) -> None:
        #: The last reading, for gauges.
        self.latest: HostReading | None = None
        self._recorder = recorder
        self._interval_s = interval_s
        self._worker_pids = worker_pids
        self._on_memory = on_memory
        self._reads_host = reads_host
        self._read = read
        self._read_memory = read_memory

    def __repr__(self) -> str:
        return f"<HostMonitor every {self._interval_s:g} s>"

    async def run(self) -> None:
        """Measure until cancelled."""
        from concurrent.futures import ThreadPoolExecutor  # imported by itself only on first use

        # One thread of its own, since psutil keeps the last CPU times by thread.
        executor = ThreadPoolExecutor(1, thread_name_prefix="host-metrics")
        cpu_interval_s: float | None = _FIRST_CPU_INTERVAL_S
        try:
            while True:
                try:
                    await self._round(executor, cpu_interval_s)
                    cpu_interval_s = None
                except Exception:
                    _logger.warning(
                        "Collecting host metrics failed; the next try is in %g seconds.",
                        self._interval_s,
                        exc_info=True,
                    )
                await asyncio.sleep(self._interval_s)
        finally:
            executor.shutdown(wait=False, cancel_futures=True)

    async def _round(self, executor: Executor, cpu_interval_s: float | None) -> None:
        loop = asyncio.get_running_loop()
        pids = [pid for pid in self._worker_pids() if pid > 0]
        memory = await loop.run_in_executor(executor, self._read_memory, pids)
        self._on_memory(memory)
        if not self._reads_host:
            return
        reading = await loop.run_in_executor(executor, self._read, cpu_interval_s)
        self.latest = reading
        for name, unit, value in reading.metrics():
            self._recorder.metric(name, unit, round(value, 3))
