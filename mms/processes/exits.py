"""How processes ended, for people."""

from __future__ import annotations

import signal


def describe_exit(code: int | None) -> str:
    """An exit status in words."""
    if code is None:
        return "ended"
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
