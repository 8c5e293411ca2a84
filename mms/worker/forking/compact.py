"""What a fork server does before its first fork, so that forks copy few of its pages.

A page is copied when a fork writes to it, and a use of an object writes to it: its count of references. So what forks
make or use is to lie together, apart from the many objects that they never touch.
"""

from __future__ import annotations

import functools
import gc
import itertools
import sys
from collections.abc import Callable
from typing import Any

from mms.worker.log_records.tracebacks import last_line

#: Sizes that Python's own allocator serves from pools of one size each, in bytes.
_STEP, _LARGEST = 16, 512
#: As much of each size as what imports have left free, and more, in bytes.
_FILLED = 32 * 1024
#: Of a pool of Python's allocator, and its head, in bytes. With others the room is filled less well.
_POOL, _HEAD = 16 * 1024, 48
#: What libraries find out at their first use and remember, alike in all processes: module -> a function that is cached.
#: That of narwhals, which scikit-learn asks about each input, reads the metadata of all installed packages.
_REMEMBERED = {"narwhals.plugins": "_discover_entrypoints"}

_filling: list[Any] = []


def recall() -> None:
    """Have libraries that are imported find out what they would find out in each fork."""
    for module, name in _REMEMBERED.items():
        function: Callable[[], object] | None = getattr(sys.modules.get(module), name, None)
        # Without its cache it would be called for nothing.
        if function is not None and hasattr(function, "cache_info"):
            try:
                function()
            except Exception as error:
                # Each fork finds out by itself, and tells its model.
                sys.stderr.write(f"{module}.{name}() failed: {last_line(error)}\n")


def fill_gaps() -> None:
    """Fill the room that is free between objects: what is made from now on, and in forks, lies together."""
    _forget_lookups()
    gc.collect()
    empty = sys.getsizeof(b"")
    for size in range(_STEP, _LARGEST + 1, _STEP):
        if size > empty:
            _fill(size, functools.partial(bytes, size - empty))
        elif size == _STEP:
            _fill(size, object)
        else:
            _fill(size, itertools.count(0.5).__next__)


def _forget_lookups() -> None:
    """Empty the cache of names that were looked up in types, which holds a reference to each of them.

    A fork puts its own there, and would write to those that it puts out. Since Python 3.12 names are not counted.
    """
    if sys.version_info < (3, 12):
        sys._clear_type_cache()


def _fill(size: int, make: Callable[[], object]) -> None:
    """Up to the begin of a pool, so that its head and its first objects are in one page."""
    filling = [make() for _ in range(_FILLED // size)]
    for _ in range(_POOL // size + 1):
        filling.append(make())
        if id(filling[-1]) % _POOL == _HEAD:
            filling.pop()
            break
    _filling.append(filling)
