"""The version of this server, and its form."""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

__version__ = "2.0.0"


def form() -> str:
    """Return `compiled` where the modules of the hot path are machine code (MMS_COMPILE=1), else `pure Python`."""
    module = Path(__file__).parent / "wire" / "frames"
    is_compiled = any(module.with_suffix(suffix).exists() for suffix in EXTENSION_SUFFIXES)
    return "compiled" if is_compiled else "pure Python"
