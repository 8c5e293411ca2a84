"""When Python searches the server's process for garbage. Its start turns that off (`mms/cli/starting.py`)."""

from __future__ import annotations

import gc

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
