"""The version whose names and behaviour the package has."""

from __future__ import annotations

__version__ = "1.17.1"
