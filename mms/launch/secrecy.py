"""Keeps the front's memory and environment from processes of its own user: its workers, that is."""

from __future__ import annotations

import ctypes
import sys

#: `prctl(2)`: whether /proc/<pid> and ptrace are open to the process's own user.
_PR_SET_DUMPABLE = 4


def hide_process() -> bool:
    """Close /proc/<pid>/environ, mem and fd of this process, and ptrace, to all but root; no core file is left either.

    Returns whether the system can. Programs that this process starts are not concerned.
    """
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)
