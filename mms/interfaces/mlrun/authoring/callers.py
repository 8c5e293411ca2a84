"""The code that calls into the functions of scripts."""

from __future__ import annotations

import sys
from typing import Any


def caller_globals() -> dict[str, Any]:
    """Return the names of the code that called into this package."""
    frame: Any = sys._getframe(1)
    while frame.f_back is not None and (frame.f_globals.get("__name__") or "").startswith(
        "mms.interfaces.mlrun."
    ):
        frame = frame.f_back
    found: dict[str, Any] = frame.f_globals
    return found
