"""Output of workers: all of it comes, in its order, and whoever prints without end keeps nobody waiting."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

import pytest

from mms.launch.line_turns import Lines, LineTurns
from mms.launch.supervisor import SupervisedProcess, Supervisor

_WAIT_S = 30.0


def slow(taken: list[str]) -> Callable[[str], None]:
    """Takes lines, each of which costs far more than one of a log does."""

    def take(line: str) -> None:
        until = time.monotonic() + 0.001
        while time.monotonic() < until:
            continue
        taken.append(line)

    return take


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


async def test_a_flood_of_lines_leaves_the_loop_to_others() -> None:
    taken: list[str] = []
    passed = asyncio.Event()
    flood = [str(n) for n in range(60)]
    assert not Lines(LineTurns(), slow(taken), passed.set).pass_on(flood)
    assert len(taken) < 30, "the loop was kept for all of it"
    await asyncio.wait_for(passed.wait(), _WAIT_S)
    assert taken == flood


async def test_others_lines_do_not_wait_for_the_end_of_a_flood() -> None:
    turns = LineTurns()
    flood: list[str] = []
    others: list[str] = []
    passed = asyncio.Event()
    Lines(turns, slow(flood), lambda: None).pass_on(map(str, range(5000)))
    assert not Lines(turns, others.append, passed.set).pass_on(["a", "b"])
    await asyncio.wait_for(passed.wait(), _WAIT_S)
    assert others == ["a", "b"]
    assert len(flood) < 5000


@pytest.mark.parametrize("bad", [0, 50], ids=["at once", "in a later turn"])
async def test_a_line_that_cannot_be_taken_stops_no_other(bad: int) -> None:
    taken: list[str] = []
    passed = asyncio.Event()
    take = slow(taken)

    def take_all_but_one(line: str) -> None:
        if line == str(bad):
            raise RuntimeError("no")
        take(line)

    Lines(LineTurns(), take_all_but_one, passed.set).pass_on(map(str, range(60)))
    await asyncio.wait_for(passed.wait(), _WAIT_S)
    assert taken == [str(n) for n in range(60) if n != bad]


async def test_a_process_that_prints_faster_than_its_lines_are_taken_waits() -> None:
    supervisor = Supervisor()
    taken: list[str] = []
    take = slow(taken)
    process = SupervisedProcess(supervisor, 1, lambda stream, line: take(line))
    out, err = process.open_pipes()
    os.set_blocking(out, False)
    written = os.write(out, b"\n" * 30_000)
    for _ in range(20):
        await asyncio.sleep(0)
        try:
            written += os.write(out, b"\n" * 30_000)
        except BlockingIOError:
            break
    else:
        raise AssertionError(f"{written} lines were read, of which {len(taken)} were taken")
    os.close(out)
    os.close(err)
    process.on_started(1)
    process.on_ended("done")
    await asyncio.wait_for(process.ended, _WAIT_S)


async def test_pipes_that_cannot_all_be_opened_leave_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A front without descriptors tries again and again."""
    pipe = os.pipe
    pipes = iter([pipe])

    def scarce_pipe() -> tuple[int, int]:
        for make in pipes:
            return make()
        raise OSError(24, "Too many open files")

    before = open_descriptors()
    monkeypatch.setattr(os, "pipe", scarce_pipe)
    process = SupervisedProcess(Supervisor(), 1, lambda *_: None)
    with pytest.raises(OSError, match="Too many open files"):
        process.open_pipes()
    assert open_descriptors() == before
