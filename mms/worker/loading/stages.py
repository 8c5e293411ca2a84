"""How far a load is, for whoever waits for it."""

from __future__ import annotations

from collections.abc import Callable


def _nobody() -> None:
    return


_listener: Callable[[], None] = _nobody


def on_imported(listener: Callable[[], None]) -> None:
    """Have the listener called once, when a model's code has been imported."""
    global _listener
    _listener = listener


def note_imported() -> None:
    """A module of a model's code has been imported. The first one has imported what takes long."""
    global _listener
    listener, _listener = _listener, _nobody
    listener()
