"""How much memory there is for new processes."""

from __future__ import annotations

from pathlib import Path

from mms.machine.cgroups import cgroup_folders

#: (limit, use, how much of the use the kernel can take back at once: its name in memory.stat) of both versions.
_FILES = {
    True: ("memory.max", "memory.current", "inactive_file"),
    False: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def free_memory(process: Path = Path("/proc/self"), root: Path = Path("/")) -> int:
    """Return the bytes that can be had without swapping: of the machine, and within the limits of the cgroups.

    The arguments are those of `cgroup_folders`.
    """
    import psutil  # takes time that a start of the server should not

    free = [int(psutil.virtual_memory().available)]
    for folder, is_v2 in cgroup_folders("memory", process, root):
        left = _left_in(folder, is_v2=is_v2)
        if left is not None:
            free.append(left)
    return max(min(free), 0)


def _left_in(folder: Path, *, is_v2: bool) -> int | None:
    limit_file, use_file, reclaimable = _FILES[is_v2]
    try:
        limit = (folder / limit_file).read_text(encoding="ascii").strip()
        if limit == "max":
            return None
        use = int((folder / use_file).read_text(encoding="ascii"))
        for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(" ")
            if name == reclaimable:
                use -= int(value)
        return int(limit) - use
    except (OSError, ValueError):
        # The group at the top has no such files.
        return None
