"""Options of a process that Linux has in `prctl(2)`; other systems have none of them."""

from __future__ import annotations

import sys
from typing import Any

#: Whether /proc/<pid> and ptrace are open to the process's own user.
DUMPABLE = 4
#: Processes below this one whose parent has ended become its children. Kept by `execve`, not inherited by forks.
CHILD_SUBREAPER = 36
#: Programs with set-user-id bits and the like give no rights, in this process and in all that it starts.
NO_NEW_PRIVS = 38


_library: Any = None


def load() -> None:
    """Have at hand what a call needs: it takes time and memory that a process without these options should not."""
    global _library
    if _library is None:
        import ctypes

        _library = ctypes.CDLL(None)


def set_option(option: int, value: int) -> bool:
    """Set an option of this process. Returns whether the system has it and let it be set."""
    if sys.platform != "linux":
        return False
    load()
    return bool(_library.prctl(option, value, 0, 0, 0) == 0)
