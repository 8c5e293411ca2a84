"""What memory there is, what processes hold of it, and whom the kernel has killed for want of it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from mms.machine.cgroups import cgroup_folders
from mms.processes.tree import children_of_this_process, parent_of

_SELF = Path("/proc/self")


def total_memory(process: Path = _SELF, root: Path = Path("/")) -> int:
    """Return the bytes that this server may use: the least limit of its cgroups, or what the machine has.

    The arguments are those of `cgroup_folders`.
    """
    import psutil  # takes time that a start of the server should not

    sizes = [int(psutil.virtual_memory().total)]
    for folder, is_v2 in cgroup_folders("memory", process, root):
        file = folder / ("memory.max" if is_v2 else "memory.limit_in_bytes")
        try:
            text = file.read_text(encoding="ascii").strip()
            if text != "max":
                sizes.append(int(text))
        except (OSError, ValueError):
            # The group at the top has no such file.
            continue
    return min(sizes)


def worker_bytes(pid: int, parents: int) -> int:
    """Return what a process holds, and so many above it: each page shared out among all that map it (PSS), and the
    tables of its pages, which in forks of a large process are a tenth.

    0 for a process that is gone. What may not be read counts as its resident set, and beside Linux all does.
    """
    size = _held_bytes(pid)
    above: int | None = pid
    for _ in range(parents):
        above = parent_of(above) if above else None
        if above and above > 1 and size:
            size += _held_bytes(above)
    return size


def server_bytes(pids: Iterable[int]) -> int:
    """Return what this process holds, those that it has started itself, and these with the process above each."""
    processes = {os.getpid(), *children_of_this_process(), *pids}
    processes.update(above for pid in pids if (above := parent_of(pid)) and above > 1)
    return sum(map(_held_bytes, processes))


def _held_bytes(pid: int) -> int:
    return _proportional_bytes(pid) + _table_bytes(pid)


def _table_bytes(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            for line in file:
                if line.startswith(b"VmPTE:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        # As above.
        return 0
    return 0


def _proportional_bytes(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        # Not Linux, an old kernel, or a process of another user.
        return resident_bytes(pid)
    return resident_bytes(pid)


def resident_bytes(pid: int) -> int:
    """Return a process's resident set; 0 for one that is gone."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    except FileNotFoundError:
        if os.path.exists("/proc/self/statm"):
            return 0
    except (OSError, IndexError):
        return 0
    import psutil  # as above

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


class OomKills:
    """Tells whether the kernel has just killed a process of this server's cgroup because its memory was used up."""

    #: A death so soon after one was counted is taken for that one, in seconds.
    _FRESH_S = 2.0

    def __init__(self, process: Path = _SELF, root: Path = Path("/")) -> None:
        """The arguments are those of `cgroup_folders`. The server's own group counts what is below it, too."""
        # Of each version the last folder is the group itself.
        own = {is_v2: folder for folder, is_v2 in cgroup_folders("memory", process, root)}
        self._files = [
            folder / ("memory.events" if is_v2 else "memory.oom_control")
            for is_v2, folder in own.items()
        ]
        self._count = self._read()
        self._counted_at = -self._FRESH_S

    def __repr__(self) -> str:
        return f"<OomKills {self._count}>"

    def has_killed(self, now: float) -> bool:
        """Return whether there was a kill within the last seconds before `now`, of `time.monotonic()`."""
        count = self._read()
        if count > self._count:
            self._count = count
            self._counted_at = now
        return now - self._counted_at < self._FRESH_S

    def _read(self) -> int:
        return max(_oom_kills(self._files), default=0)


def _oom_kills(files: Iterable[Path]) -> Iterable[int]:
    for file in files:
        try:
            for line in file.read_text(encoding="ascii").splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    yield int(count)
        except (OSError, ValueError):
            # The group at the top has no such file.
            continue
