"""What processes hold, what there is, and the kernel's own kills, as `/proc` and the cgroups say it."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mms.machine.memory import OomKills, resident_bytes, server_bytes, total_memory, worker_bytes

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc of Linux")


@linux
def test_pages_are_shared_out_among_those_that_map_them() -> None:
    own = worker_bytes(os.getpid(), 0)
    assert 0 < own <= resident_bytes(os.getpid())
    assert worker_bytes(os.getpid(), 1) > own


@linux
def test_the_tables_of_a_process_s_pages_are_counted() -> None:
    # Room that is never written to: of each stretch of 2 MB one page is there, and a table for it.
    room = mmap.mmap(-1, 1 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    before = worker_bytes(os.getpid(), 0)
    for at in range(0, len(room), 2 << 20):
        room[at] = 1
    grown = worker_bytes(os.getpid(), 0) - before
    room.close()
    pages = 512 * mmap.PAGESIZE
    assert grown > 1.5 * pages


@linux
def test_the_server_is_its_process_those_it_has_started_and_those_that_are_named() -> None:
    sleeping = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    own = server_bytes([])
    with subprocess.Popen(sleeping, stdin=subprocess.PIPE) as child:
        with_child = server_bytes([])
        named = server_bytes([child.pid])
        child.kill()
    assert with_child > own
    # It is counted once, and its parent is this process.
    assert named == pytest.approx(with_child, rel=0.2)


@linux
def test_a_process_that_is_gone_holds_nothing() -> None:
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    assert worker_bytes(pid, 1) == 0


class CgroupTree:
    """A process in a cgroup below another one, of version 2."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.process = folder / "proc"
        self.process.mkdir()
        (self.process / "cgroup").write_text("0::/pod/server\n")
        mount = "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
        (self.process / "mountinfo").write_text(mount)
        self.group = folder / "sys/fs/cgroup/pod/server"
        self.group.mkdir(parents=True)


@pytest.fixture
def tree(tmp_path: Path) -> CgroupTree:
    return CgroupTree(tmp_path)


def test_the_least_limit_of_the_cgroups_counts(tree: CgroupTree) -> None:
    machine = total_memory(tree.process, tree.root)
    assert machine > 2**20
    (tree.group / "memory.max").write_text("max\n")
    assert total_memory(tree.process, tree.root) == machine
    (tree.group.parent / "memory.max").write_text("1048576\n")
    assert total_memory(tree.process, tree.root) == 2**20


def test_a_kill_of_the_kernel_is_seen_for_a_moment(tree: CgroupTree) -> None:
    events = tree.group / "memory.events"
    events.write_text("low 0\noom 3\noom_kill 3\n")
    kills = OomKills(tree.process, tree.root)
    assert not kills.has_killed(100.0)
    events.write_text("low 0\noom 4\noom_kill 4\n")
    assert kills.has_killed(101.0)
    assert kills.has_killed(102.0)
    assert not kills.has_killed(104.0)
    events.unlink()
    assert not kills.has_killed(105.0)
