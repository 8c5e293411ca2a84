from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterable

from mms.observe.log_files.setup import LogFile
from mms.observe.metrics.host import HostMonitor, HostReading, read_host, worker_memory
from mms.observe.recorder import Recorder

from .conftest import WrittenLogs

_READING = HostReading(12.5, 2**30, 3 * 2**29, 60.0, 2**20, 5 * 2**20, 70.1)


def test_a_reading_of_this_host_is_plausible() -> None:
    reading = read_host(0.01)
    assert 0 <= reading.cpu_percent <= 100
    assert reading.memory_used_bytes > 0
    assert reading.memory_available_bytes > 0
    assert reading.disk_used_bytes > 0
    assert 0 <= reading.disk_percent <= 100


def test_the_metrics_have_mms_s_names_units_and_order() -> None:
    assert _READING.metrics() == [
        ("CPUUtilization", "Percent", 12.5),
        ("DiskAvailable", "Gigabytes", 1.0),
        ("DiskUsage", "Gigabytes", 1.5),
        ("DiskUtilization", "Percent", 60.0),
        ("MemoryAvailable", "Megabytes", 1.0),
        ("MemoryUsed", "Megabytes", 5.0),
        ("MemoryUtilization", "Percent", 70.1),
    ]


def test_the_memory_of_processes_is_given_and_ended_ones_are_left_out() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    sizes = worker_memory([os.getpid(), ended.pid])
    assert list(sizes) == [os.getpid()]
    assert sizes[os.getpid()] > 1_000_000


class _Passed:
    """The memory that was passed on, and when it is enough."""

    def __init__(self, wanted_rounds: int) -> None:
        self.rounds: list[dict[int, int]] = []
        self._wanted_rounds = wanted_rounds
        self._is_enough = asyncio.Event()

    def __call__(self, sizes: dict[int, int]) -> None:
        self.rounds.append(sizes)
        if len(self.rounds) >= self._wanted_rounds:
            self._is_enough.set()

    async def run(self, monitor: HostMonitor) -> None:
        """Run the monitor until there were enough rounds."""
        task = asyncio.create_task(monitor.run())
        await asyncio.wait_for(self._is_enough.wait(), 20)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


async def test_a_round_writes_the_metrics_and_passes_on_the_memory(written: WrittenLogs) -> None:
    recorder = Recorder(written.configure().logs, hostname="h1")
    passed = _Passed(3)
    intervals: list[float | None] = []

    def read(cpu_interval_s: float | None) -> HostReading:
        intervals.append(cpu_interval_s)
        return _READING

    def read_memory(pids: Iterable[int]) -> dict[int, int]:
        return dict.fromkeys(pids, 1000)

    monitor = HostMonitor(
        recorder, 0.001, lambda: [7, 0, 8], passed, read=read, read_memory=read_memory
    )
    await passed.run(monitor)
    recorder.flush()
    assert passed.rounds[0] == {7: 1000, 8: 1000}
    assert monitor.latest is _READING
    assert intervals[0] is not None
    assert set(intervals[1:]) == {None}
    assert " - MemoryUsed.Megabytes:5.0|#Level:Host|#hostname:h1," in written.read(
        LogFile.MMS_METRICS
    )


async def test_the_host_is_not_read_where_its_metrics_are_switched_off(
    written: WrittenLogs,
) -> None:
    recorder = Recorder(written.configure().logs)
    passed = _Passed(2)

    def read(cpu_interval_s: float | None) -> HostReading:
        raise AssertionError("it is read")

    def read_memory(pids: Iterable[int]) -> dict[int, int]:
        return dict.fromkeys(pids, 1000)

    monitor = HostMonitor(
        *(recorder, 0.001, lambda: [7], passed),
        reads_host=False,
        read=read,
        read_memory=read_memory,
    )
    await passed.run(monitor)
    recorder.flush()
    assert (passed.rounds[0], monitor.latest) == ({7: 1000}, None)
    assert "MemoryUsed" not in written.read(LogFile.MMS_METRICS)
    assert "Collecting host metrics failed" not in written.read(LogFile.MMS)


async def test_a_round_that_fails_is_logged_and_the_next_comes(written: WrittenLogs) -> None:
    recorder = Recorder(written.configure().logs)
    rounds = 0
    passed = _Passed(1)

    def pids() -> list[int]:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            raise RuntimeError("a model went away")
        return []

    monitor = HostMonitor(recorder, 0.001, pids, passed, read=lambda _: _READING)
    await passed.run(monitor)
    text = written.read(LogFile.MMS)
    assert "[WARN ]" in text
    assert "RuntimeError: a model went away" in text
