"""The error that MMS's functions raise."""

from __future__ import annotations

from archiver.errors import PackError as ModelArchiverError

__all__ = ["ModelArchiverError"]
