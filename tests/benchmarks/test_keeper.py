from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psutil
import pytest
from support.waiting import eventually

from benchmarks import keeper

DEADLINE_S = 30.0
# Leaves a daemon behind, in a session of its own, and ends at once.
LEAVES_A_DAEMON = ["sh", "-c", "setsid sleep 60 & exit 0"]

Keeping = subprocess.Popen[str]


@pytest.fixture
def keep() -> Iterator[Callable[[list[str]], Keeping]]:
    started: list[Keeping] = []

    def start(command: list[str]) -> Keeping:
        keeping = subprocess.Popen(
            [sys.executable, "-I", keeper.__file__, *command], stdout=subprocess.PIPE, text=True
        )
        started.append(keeping)
        return keeping

    yield start
    for keeping in started:
        keeping.terminate()
        keeping.wait(DEADLINE_S)
        assert keeping.stdout is not None
        keeping.stdout.close()


def wait_for_daemon(keeping: Keeping) -> psutil.Process:
    """The one `sleep` below the keeper, once the shell that started it is gone."""

    def find() -> psutil.Process | None:
        below = psutil.Process(keeping.pid).children(recursive=True)
        # The shell may end between the two looks.
        with contextlib.suppress(psutil.NoSuchProcess):
            if [process.name() for process in below] == ["sleep"]:
                return below[0]
        return None

    found = eventually("the daemon is below the keeper", find)
    assert found is not None
    return found


def test_the_moment_of_the_start_is_told(keep: Callable[[list[str]], Keeping]) -> None:
    before_s = time.monotonic()
    keeping = keep(["sleep", "60"])
    assert keeping.stdout is not None
    told = json.loads(keeping.stdout.readline())
    assert before_s <= told["started_at_s"] <= time.monotonic()
    assert psutil.Process(told["pid"]).ppid() == keeping.pid


def test_a_daemon_ends_with_its_keeper(keep: Callable[[list[str]], Keeping]) -> None:
    keeping = keep(LEAVES_A_DAEMON)
    daemon = wait_for_daemon(keeping)
    keeping.terminate()
    keeping.wait(DEADLINE_S)
    assert not daemon.is_running()


def test_a_stopped_server_is_ended_too(keep: Callable[[list[str]], Keeping]) -> None:
    keeping = keep(LEAVES_A_DAEMON)
    daemon = wait_for_daemon(keeping)
    daemon.suspend()
    keeping.terminate()
    keeping.wait(DEADLINE_S)
    assert not daemon.is_running()


def test_the_keeper_ends_with_what_it_keeps(keep: Callable[[list[str]], Keeping]) -> None:
    keeping = keep(["sh", "-c", "exit 3"])
    assert keeping.wait(DEADLINE_S) == 3
