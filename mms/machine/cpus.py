"""How many CPUs there are to use."""

from __future__ import annotations

import functools
import math
import os
from pathlib import Path

from mms.machine.cgroups import cgroup_folders


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

    The arguments are those of `cgroup_folders`. Both versions of cgroups are read.
    """
    quotas = [_quota(folder, is_v2=is_v2) for folder, is_v2 in cgroup_folders("cpu", process, root)]
    return min((quota for quota in quotas if quota is not None), default=None)


def _quota(folder: Path, *, is_v2: bool) -> float | None:
    try:
        if is_v2:
            quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii")
            period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii")
        return int(quota) / int(period) if quota != "max" and int(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        # The group at the top has no such files.
        return None
