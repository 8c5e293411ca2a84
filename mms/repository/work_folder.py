"""A folder for what is not finished, beside what it is to become part of, and gone with the process that has it."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Final

_PREFIX: Final = ".work-"
#: With the names of earlier versions, which held the owner's process id; in containers those are all alike.
_LEFT: Final = re.compile(r"\.(?:work-.*|(?:incoming|removing)-\d+-[0-9a-f]+)")


class WorkFolder:
    """A folder of one process, held by a lock that ends with it, however it ends."""

    def __init__(self, path: Path, lock_fd: int) -> None:
        self.path = path
        self._lock_fd = lock_fd

    def __repr__(self) -> str:
        return f"<WorkFolder {self.path}>"

    @classmethod
    def make(cls, parent: Path) -> WorkFolder:
        """Make a new one below `parent`, which must exist. Raises OSError."""
        while True:
            path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            lock_fd = _locked(path)
            if lock_fd is not None:
                return cls(path, lock_fd)
            # Somebody who clears away took it for one that was left.

    def close(self) -> None:
        """Remove it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock_fd)


def remove_left(parent: Path) -> None:
    """Remove those below `parent` that no living process holds. Raises OSError for a folder that cannot be read."""
    for path in parent.iterdir():
        if _LEFT.fullmatch(path.name) is None:
            continue
        if not path.is_dir() or path.is_symlink():
            path.unlink(missing_ok=True)
            continue
        lock_fd = _locked(path)
        if lock_fd is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock_fd)


def settle(path: Path) -> None:
    """Write a file, or a folder with all that is in it, through to the disk. Raises OSError."""
    below = list(path.rglob("*")) if path.is_dir() else []
    for found in (*below, path, path.parent):
        fd = os.open(found, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _locked(path: Path) -> int | None:
    """Return a descriptor that holds the lock of a folder; None where another has it, or the folder is gone."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(fd), os.stat(path)):
            return fd
    except OSError:
        pass
    os.close(fd)
    return None
