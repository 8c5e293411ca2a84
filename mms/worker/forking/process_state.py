"""What an import changes of its process besides adding modules: all workers that are forked from it would have that."""

from __future__ import annotations

import gc
import locale
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any, Final

#: In `/proc/self/status`: the signals that are blocked, ignored or caught, by native code, too, each as a bit.
_SIGNALS: Final = (b"SigBlk", b"SigIgn", b"SigCgt")
#: Without those that threads of the C library send each other.
_SIGNALS_MASK: Final = (1 << 31) - 1
#: Files that any number of processes may have open together.
_SHARED_FILES: Final = ("/",)


def _signals() -> list[int]:
    masks = []
    with open("/proc/self/status", "rb") as file:
        for line in file:
            name, _, value = line.partition(b":")
            if name in _SIGNALS:
                masks.append(int(value, 16) & _SIGNALS_MASK)
    return masks


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _handlers() -> list[Any]:
    return [signal.getsignal(number) for number in sorted(signal.valid_signals())]


def _limits() -> list[tuple[int, int]]:
    names = sorted(name for name in dir(resource) if name.startswith("RLIMIT_"))
    return [resource.getrlimit(getattr(resource, name)) for name in names]


def _connections() -> list[str]:
    """Return sockets, pipes and the like, whose other ends would hear all workers."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            # That of the listing itself, which is closed by now.
            continue
        if not target.startswith(_SHARED_FILES):
            found.append(target)
    return sorted(found)


def _logging() -> tuple[Any, ...]:
    root = logging.getLogger()
    return root.level, list(root.handlers), root.manager.disable


#: What is to be the same after an import, by its name.
_FIXED: Final[dict[str, Callable[[], object]]] = {
    "the umask": _umask,
    "what signals do": lambda: (_signals(), _handlers()),
    "limits of the process": _limits,
    "the locale": lambda: locale.setlocale(locale.LC_ALL),
    "sys.stdout or sys.stderr": lambda: (sys.stdout, sys.stderr),
    "what is done with exceptions (sys.excepthook)": lambda: (sys.excepthook, sys.unraisablehook),
    "the recursion limit": sys.getrecursionlimit,
    "the collection of garbage": lambda: (gc.isenabled(), gc.get_threshold()),
    "the time that sockets wait": socket.getdefaulttimeout,
    "the root logger": _logging,
    "open connections": _connections,
    "tracing": lambda: (sys.gettrace(), sys.getprofile()),
}


class ProcessState:
    """A look at the process that imports modules. Linux alone."""

    def __init__(self) -> None:
        self._fixed = {name: look() for name, look in _FIXED.items()}
        self._variables = dict(os.environ)
        self._path = list(sys.path)

    def __repr__(self) -> str:
        return f"<ProcessState of {os.getpid()}>"

    def change(self) -> str:
        """Return what is not as it was, in words; empty where all is.

        New variables and places at the end of the path are none: many packages have them for their own parts, and they
        hide nothing.
        """
        for name, look in _FIXED.items():
            if look() != self._fixed[name]:
                return name
        if any(os.environ.get(name) != value for name, value in self._variables.items()):
            return "variables that were set"
        if sys.path[: len(self._path)] != self._path:
            return "the beginning of sys.path"
        return ""
