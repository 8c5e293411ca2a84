"""How many CPUs there are to use."""

from __future__ import annotations

import functools
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

_OCTAL = re.compile(r"\\([0-7]{3})")


@functools.cache
def available_cpus() -> int:
    """Return the CPUs this process may use, read once: the smaller of its affinity and its cgroups' quota.

    A part of a CPU counts as one, as in Java, which MMS counts by.
    """
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    quota = cgroup_quota(Path("/proc/self"))
    return max(1, count if quota is None else min(count, math.ceil(quota)))


def cgroup_quota(process: Path, root: Path = Path("/")) -> float | None:
    """Return the least quota of the process's cgroup and of those above, in CPUs; None without one, or beside Linux.

    `process`: its folder in `/proc`. `root`: the folder that mount points are below. Both versions of cgroups are read.
    """
    try:
        groups = (process / "cgroup").read_text(encoding="utf-8").splitlines()
        mounts = (process / "mountinfo").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    #: Controllers, with commas between (none: version 2) -> the group's path.
    paths: dict[str, str] = {}
    for line in groups:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        paths[controllers] = path
    quotas: list[float] = []
    for line in mounts:
        before, _, after = line.partition(" - ")
        members, (kind, *_, options) = before.split(), after.split()
        if len(members) < 5:
            continue
        top, point = (_OCTAL.sub(lambda m: chr(int(m[1], 8)), members[i]) for i in (3, 4))
        for controllers, path in paths.items():
            is_v2 = kind == "cgroup2" and not controllers
            is_v1 = (
                kind == "cgroup" and "cpu" in controllers.split(",") and "cpu" in options.split(",")
            )
            if is_v1 or is_v2:
                folder = root / point.lstrip("/")
                quotas += _quotas(folder, _below(path, top), is_v2=is_v2)
    return min(quotas, default=None)


def _below(path: str, top: str) -> tuple[str, ...]:
    """Return a group's path below a mount that shows groups from `top` on; the mount's own where it is not seen."""
    try:
        parts = Path(path).relative_to(top).parts
    except ValueError:
        return ()
    return () if ".." in parts else parts


def _quotas(mount: Path, parts: tuple[str, ...], *, is_v2: bool) -> Iterator[float]:
    for depth in range(len(parts) + 1):
        folder = mount.joinpath(*parts[:depth])
        try:
            if is_v2:
                quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
            else:
                quota = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii")
                period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii")
            if quota != "max" and int(quota) > 0:
                yield int(quota) / int(period)
        except (OSError, ValueError, ZeroDivisionError):
            # The group at the top has no such files.
            continue
