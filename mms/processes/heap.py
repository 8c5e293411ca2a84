"""Freed memory that the C library keeps for the next large body, and how the system gets it back; of glibc alone.

By itself glibc gives the system most of what a large body took as soon as that is freed, and the next one pays for each
page anew: half of the time that a body of megabytes takes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

# Of `mallopt(3)`. Both values are what glibc goes up to by itself, with the sizes that a process frees.
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_MOST_MAPPED_BYTES: Final = 32 << 20
_MOST_KEPT_BYTES: Final = 2 * _MOST_MAPPED_BYTES

#: Blocks from here on are not filled with zeros before they are written to, in bytes.
_LARGE_BYTES: Final = 256 * 1024

_keeps = False
_make: Callable[[None, int], bytearray] | None = None


def keep_freed() -> None:
    """Have freed memory kept from now on, up to 64 MiB at the end of the heap; blocks of 32 MiB and more never are.

    Takes milliseconds when it is first called.
    """
    global _keeps, _make
    if not _keeps:
        _keeps = True
        _make = _maker()
        change = _find("mallopt")
        if change is not None:
            change(_MMAP_THRESHOLD, _MOST_MAPPED_BYTES)
            change(_TRIM_THRESHOLD, _MOST_KEPT_BYTES)


def can_reserve() -> bool:
    """Return whether `make_room` takes no memory before something is written there."""
    return _make is not None


def make_room(size: int) -> bytearray:
    """Return bytes to be written to. Before that a large block has any content, from the first `keep_freed` on."""
    if _make is None or size < _LARGE_BYTES:
        return bytearray(size)
    return _make(None, size)


def _maker() -> Callable[[None, int], bytearray] | None:
    """Return what makes a bytearray without a content; None where Python's C interface does not have it."""
    import ctypes  # takes time that the start of a process should not

    try:
        make = ctypes.pythonapi.PyByteArray_FromStringAndSize
    except AttributeError:
        return None
    make.restype = ctypes.py_object
    make.argtypes = (ctypes.c_char_p, ctypes.c_ssize_t)
    return make


def trim() -> None:
    """Give the system all that is kept. Blocks for milliseconds."""
    release = _find("malloc_trim")
    if release is not None:
        release(0)


def _find(name: str) -> Any:
    import ctypes  # takes time that the start of a process should not

    return getattr(ctypes.CDLL(None), name, None)
