"""When Python searches a process for garbage: the server's, whose start turns that off (`mms/cli/starting.py`), and a
worker's while it loads its model."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

#: Collections of the young generation are rarer than Python's own setting has them: the hot path makes few cycles.
_THRESHOLDS = (20_000, 20, 100)


def keep_imports() -> None:
    """Never search again what is there so far: the modules that a start has imported."""
    gc.freeze()


def collect_from_now_on() -> None:
    """Begin once the server has started: what is left of the start stays, too."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
    gc.enable()


@contextmanager
def rare_collections() -> Iterator[None]:
    """Search more rarely meanwhile: imports make little garbage, and searches are a twentieth of their time.

    What the code within sets itself stays.
    """
    before = gc.get_threshold()
    gc.set_threshold(*_THRESHOLDS)
    try:
        yield
    finally:
        if gc.get_threshold() == _THRESHOLDS:
            gc.set_threshold(*before)
