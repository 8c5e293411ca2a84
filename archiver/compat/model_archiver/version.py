"""The version under the name that MMS's package had it."""

from __future__ import annotations

from archiver.version import __version__

__all__ = ["__version__"]
