"""What a worker that gives no sign of life is seen to do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from support.waiting import eventually

from mms.processes.activity import Sight, has_worked, look_at

LIMIT_S = 30.0
Start = Callable[[str], int]


def sight(beat: int, cpu_s: float = 1.0, faults: int = 0, is_at_work: bool = False) -> Sight:
    return Sight(beat, cpu_s, faults, is_at_work)


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a program; it has begun when its process id is there."""
    processes: list[subprocess.Popen[bytes]] = []

    def run(program: str) -> int:
        code = f"print(flush=True)\n{program}"
        process = subprocess.Popen([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE)
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        return process.pid

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def seen(pid: int) -> Sight:
    found = look_at(pid, 1)
    assert found is not None
    return found


def await_work(pid: int, is_at_work: bool) -> None:
    eventually(f"at work: {is_at_work}", lambda: seen(pid).is_at_work is is_at_work)


def test_who_has_used_no_processor_since_the_last_heartbeat_has_done_nothing() -> None:
    assert not has_worked(sight(1), sight(2), 10.0)
    assert not has_worked(sight(1, 1.0), sight(2, 1.4), 10.0)


def test_a_twentieth_of_a_processor_is_work() -> None:
    assert has_worked(sight(1, 1.0), sight(2, 1.6), 10.0)
    assert not has_worked(sight(1, 1.0), sight(4, 1.6), 10.0)


def test_who_reads_from_a_disk_works() -> None:
    assert has_worked(sight(1, faults=3), sight(2, faults=4), 10.0)
    assert has_worked(sight(1), sight(2, is_at_work=True), 10.0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process waits for")
def test_who_computes_is_at_work_however_little_processor_it_gets(start: Start) -> None:
    pid = start("while True: pass")
    await_work(pid, is_at_work=True)
    os.kill(pid, signal.SIGSTOP)
    await_work(pid, is_at_work=False)  # one that is stopped
    os.kill(pid, signal.SIGCONT)
    await_work(pid, is_at_work=True)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process waits for")
def test_who_sleeps_is_not_at_work(start: Start) -> None:
    await_work(start("import time; time.sleep(600)"), is_at_work=False)


def test_a_process_that_has_ended_cannot_be_looked_at() -> None:
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    assert look_at(process.pid, 1) is None
