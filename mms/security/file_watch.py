"""Notices that files have changed."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path

logger = logging.getLogger("mms.security")

#: Between two looks, in seconds: so soon a revoked key is one.
_LOOK_S = 1.0

_Signature = tuple[tuple[int, int, int, int, int] | None, ...]


class FileWatch:
    """Notices when files change: at each call it compares them with what they were at the call before."""

    def __init__(self, paths: Iterable[str | Path]) -> None:
        self._paths = [str(path) for path in paths]
        self._seen = self._look()

    def __repr__(self) -> str:
        return f"<FileWatch {', '.join(self._paths)}>"

    def has_changed(self) -> bool:
        """Return whether a file is another one, has other contents, rights or owner than at the call before."""
        seen = self._look()
        if seen == self._seen:
            return False
        self._seen = seen
        return True

    def _look(self) -> _Signature:
        return tuple(_signature(path) for path in self._paths)


async def check_often(checks: Iterable[Callable[[], None]]) -> None:
    """Make these calls every second until cancelled."""
    calls = list(checks)
    while True:
        await asyncio.sleep(_LOOK_S)
        for call in calls:
            try:
                call()
            except Exception:
                # Whatever it is, the next revoked key must be noticed.
                logger.exception("A check that is made every second failed.")


def _signature(path: str) -> tuple[int, int, int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    # The time of a change of its rights counts, too: a file that nobody else may read any more becomes usable so.
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
