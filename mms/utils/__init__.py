"""Names that handlers written for MMS import."""

from __future__ import annotations
