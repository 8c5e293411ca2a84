"""A folder of a command's own for logs: the current folder is often the model's, and often not to be written to."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path


def own_folder(command: str, place: int | str) -> Path:
    """Return the folder of a command's server; the same one after a restart, so that they do not pile up.

    `place`: its port, or another name for it. Port 0 is any free one: each such server has a new folder.
    """
    if not place:
        return Path(tempfile.mkdtemp(prefix=f"{command}-"))
    folder = Path(tempfile.gettempdir()) / f"{command}-{os.getuid()}-{place}"
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            return Path(tempfile.mkdtemp(prefix=f"{command}-"))
    return folder


def log_variables(folder: Path) -> dict[str, str]:
    """Return the variables that have logs written below a folder; none where the user says where they go."""
    if "LOG_LOCATION" in os.environ:
        return {}
    logs = str(folder / "logs")
    return {"LOG_LOCATION": logs, "METRICS_LOCATION": logs}
