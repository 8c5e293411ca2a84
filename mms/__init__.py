"""A multi-model archive server, and the names that handlers import."""

from __future__ import annotations

from mms.version import __version__

__all__ = ["__version__"]
