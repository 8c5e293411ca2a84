"""What the pages show can be typed: every shell block and Python snippet runs, in a fresh folder, on real servers."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from support.processes import kill_tagged, tagged_processes
from support.waiting import eventually

from .page import PAGES, Block, blocks_of, name_of
from .script import PageRun

#: Blocks that no run tries, beside those that need another machine. More need a better reason than that they fail.
MAX_NOT_RUN = 7
OTHER_MACHINES = {
    *("needs Docker", "needs Kubernetes", "needs a Ray cluster", "needs root and systemd"),
}


@pytest.fixture
def make_run() -> Iterator[Callable[[Path], PageRun]]:
    """Of a page, in a folder of its own; all that it starts is ended with the test."""
    tag = uuid.uuid4().hex
    # Short, as a Unix socket's path has room for about a hundred characters.
    folder = Path(tempfile.mkdtemp(prefix="mmsp-"))
    try:
        yield lambda page: PageRun(folder, tag, page)
        for process in tagged_processes(tag):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        eventually(
            "all that the page started has ended",
            lambda: not tagged_processes(tag),
            interval_s=0.02,
        )
    finally:
        kill_tagged(tag)
        shutil.rmtree(folder, ignore_errors=True)


def runnable(page: Path, is_full: bool) -> list[Block]:
    """What of a page is run or written to files, in its order."""
    left_out = {"not run"} if is_full else {"not run", "slow"}
    return [
        block
        for block in blocks_of(page)
        if not block.marks.keys() & left_out
        and (block.can_run or block.file is not None or "output" in block.marks)
    ]


@pytest.mark.skipif(
    shutil.which("curl") is None, reason="the pages call curl, which is not installed"
)
@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(b.can_run for b in runnable(page, True))], ids=name_of
)
def test_what_a_page_shows_can_be_typed(
    page: Path, make_run: Callable[[Path], PageRun], is_full: bool
) -> None:
    blocks = runnable(page, is_full)
    if not any(block.can_run for block in blocks):
        pytest.skip("all of it is slow, and runs with --full")
    exit_code, output = make_run(page).run(blocks)
    shown = "\n".join(line for line in output.splitlines() if " [INFO ] " not in line)
    assert exit_code == 0, f"{name_of(page)}\n{shown}"


def test_what_is_left_out_says_why_and_is_little() -> None:
    known = {"not run", "slow", "file", "answers", "first", "output"}
    blocks = [(f"{name_of(page)}:{b.line}", b) for page in PAGES for b in blocks_of(page)]
    assert [f"{at} {block.marks}" for at, block in blocks if block.marks.keys() - known] == []
    not_run = [(at, block) for at, block in blocks if "not run" in block.marks]
    assert [at for at, block in not_run if len(block.marks["not run"]) < 10] == []
    here = [at for at, block in not_run if block.marks["not run"] not in OTHER_MACHINES]
    assert len(here) <= MAX_NOT_RUN, here
