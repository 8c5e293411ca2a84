"""How many GPUs there are to use."""

from __future__ import annotations

import shutil
import subprocess

#: A driver that does not answer in this time is taken for absent.
_QUERY_TIMEOUT_S = 20.0


def detected_gpus() -> int:
    """Return the number of GPUs that `nvidia-smi` lists; 0 where it is absent or fails."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return 0
    try:
        listed = subprocess.run(
            [command, "--query-gpu=index", "--format=csv"],
            capture_output=True,
            text=True,
            timeout=_QUERY_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    # The first line is the heading.
    return max(len(listed.stdout.strip().splitlines()) - 1, 0)


def gpu_count(limit: int | None, *, is_override: bool = False) -> int:
    """Return the number of GPUs to use: those detected, at most `limit`; None: no limit.

    As in MMS, a limit that comes from a variable (`is_override`) counts as it is, whatever is detected.
    """
    if limit == 0 or (limit is not None and is_override):
        return limit
    found = detected_gpus()
    return found if limit is None else min(found, limit)
