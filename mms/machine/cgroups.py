"""Where the limits of a process's cgroups are written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

_OCTAL = re.compile(r"\\([0-7]{3})")


def cgroup_folders(
    controller: str, process: Path, root: Path = Path("/")
) -> Iterator[tuple[Path, bool]]:
    """Yield (folder, whether it is of version 2) of the process's group for a controller, and of all above; Linux only.

    `process`: its folder in `/proc`. `root`: the folder that mount points are below.
    """
    try:
        groups = (process / "cgroup").read_text(encoding="utf-8").splitlines()
        mounts = (process / "mountinfo").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    #: Controllers, with commas between (none: version 2) -> the group's path.
    paths: dict[str, str] = {}
    for line in groups:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        paths[controllers] = path
    for line in mounts:
        before, _, after = line.partition(" - ")
        members, (kind, *_, options) = before.split(), after.split()
        if len(members) < 5:
            continue
        top, point = (_OCTAL.sub(lambda m: chr(int(m[1], 8)), members[i]) for i in (3, 4))
        for controllers, path in paths.items():
            is_v2 = kind == "cgroup2" and not controllers
            is_v1 = (
                kind == "cgroup"
                and controller in controllers.split(",")
                and controller in options.split(",")
            )
            if is_v1 or is_v2:
                parts = _below(path, top)
                for depth in range(len(parts) + 1):
                    yield (root / point.lstrip("/")).joinpath(*parts[:depth]), is_v2


def _below(path: str, top: str) -> tuple[str, ...]:
    """Return a group's path below a mount that shows groups from `top` on; the mount's own where it is not seen."""
    try:
        parts = Path(path).relative_to(top).parts
    except ValueError:
        return ()
    return () if ".." in parts else parts
