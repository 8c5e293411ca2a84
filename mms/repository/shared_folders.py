"""Unpacked archives of the same bytes: one folder for all models of them, gone with the last one."""

from __future__ import annotations

import itertools
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

_Unpacked = TypeVar("_Unpacked")


@dataclass(slots=True, eq=False)
class _Folder(Generic[_Unpacked]):
    sha256: str
    #: Held while it is unpacked: others that want it wait.
    unpacking: threading.Lock = field(default_factory=threading.Lock)
    unpacked: _Unpacked | None = None
    #: Models that have it or wait for it.
    users: int = 0


class SharedFolders(Generic[_Unpacked]):
    """Which archives are unpacked, and for how many models. Any thread may call its methods."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._folders: dict[str, _Folder[_Unpacked]] = {}
        #: What each model has, by a number of its own.
        self._shares: dict[int, _Folder[_Unpacked]] = {}
        self._numbers = itertools.count(1)

    def __repr__(self) -> str:
        return f"<SharedFolders {len(self._folders)} of {len(self._shares)} models>"

    def take(self, sha256: str, unpack: Callable[[], _Unpacked]) -> tuple[_Unpacked, int]:
        """Return what is unpacked of these bytes, and the number of this share.

        `unpack` is called where nothing is unpacked yet. Raises what it raises.
        """
        with self._lock:
            folder = self._folders.setdefault(sha256, _Folder(sha256))
            folder.users += 1
        try:
            with folder.unpacking:
                unpacked = folder.unpacked
                if unpacked is None:
                    unpacked = folder.unpacked = unpack()
        except BaseException:
            with self._lock:
                self._leave(folder)
            raise
        with self._lock:
            share = next(self._numbers)
            self._shares[share] = folder
        return unpacked, share

    def give_back(self, share: int) -> bool:
        """A model needs its share no more. Returns whether it was the last one, and the folder has to go."""
        with self._lock:
            folder = self._shares.pop(share, None)
            return folder is not None and self._leave(folder)

    def _leave(self, folder: _Folder[_Unpacked]) -> bool:
        folder.users -= 1
        if folder.users:
            return False
        del self._folders[folder.sha256]
        return True


def close_to_others(folder: Path) -> None:
    """Have nobody but its owner write to a folder and what is in it, whatever the umask is. Raises OSError."""
    for path, _, names in os.walk(folder):
        for each in (path, *(os.path.join(path, name) for name in names)):
            mode = stat.S_IMODE(os.lstat(each).st_mode)
            if mode & (stat.S_IWGRP | stat.S_IWOTH):
                os.chmod(each, mode & ~(stat.S_IWGRP | stat.S_IWOTH), follow_symlinks=True)
