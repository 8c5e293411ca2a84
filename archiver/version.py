"""The version of the archiver, which is the version of the distribution it comes in."""

from __future__ import annotations

__version__ = "2.0.0"
