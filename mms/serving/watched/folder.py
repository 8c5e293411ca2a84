"""What lies in a watched folder, and when that has changed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mms.repository.location import list_store

#: Of a folder that is a model: more files are not looked at for changes.
_MAX_FILES: Final = 10_000


@dataclass(frozen=True, slots=True)
class Stamp:
    """What an archive looks like from outside: the time of its newest change, and what else tells one from another."""

    newest_ns: int
    size_bytes: int
    files: int
    inode: int

    def is_older_than(self, time_s: float) -> bool:
        return self.newest_ns < time_s * 1e9


def scan(folder: Path) -> dict[str, Stamp]:
    """Return the archives and model folders of a folder by their names. Blocks. Raises OSError, ModelNotFound.

    What is removed meanwhile is left out.
    """
    found = {}
    for name in list_store(folder):
        try:
            found[name] = _stamp(folder / name)
        except OSError:
            continue
    return found


def _stamp(path: Path) -> Stamp:
    """Raises OSError where the path is moved meanwhile: what was seen of it then is no change of it."""
    status = path.stat()
    newest, size, files = status.st_mtime_ns, status.st_size, 1
    if path.is_dir():
        size = 0
        for place, folders, names in os.walk(path):
            for name in (*folders, *names):
                try:
                    inner = os.stat(os.path.join(place, name))
                except OSError:
                    # A link to nothing is no reason to leave the model out.
                    continue
                newest = max(newest, inner.st_mtime_ns)
                size += inner.st_size
                files += 1
            if files > _MAX_FILES:
                break
        if path.stat().st_ino != status.st_ino:
            raise FileNotFoundError(f"{path} was replaced while it was looked at.")
    return Stamp(newest, size, files, status.st_ino)
