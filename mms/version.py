"""The version of this server."""

from __future__ import annotations

__version__ = "2.0.0"
