"""Names that handlers written for MMS import."""

from __future__ import annotations

from mms.utils import timeit_decorator

__all__ = ["timeit_decorator"]
