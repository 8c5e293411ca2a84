"""The version of this server, and its form."""

from __future__ import annotations

import os
from importlib.machinery import EXTENSION_SUFFIXES

__version__ = "2.0.0"


def form() -> str:
    """Return `compiled` where the modules of the hot path are machine code (MMS_COMPILE=1), else `pure Python`."""
    module = os.path.join(os.path.dirname(__file__), "wire", "frames")
    is_compiled = any(os.path.exists(module + suffix) for suffix in EXTENSION_SUFFIXES)
    return "compiled" if is_compiled else "pure Python"
