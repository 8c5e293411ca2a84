"""The check of metadata."""

from __future__ import annotations

from mms.seldon.metadata import SeldonInvalidMetadataError, validate_model_metadata

__all__ = ["SeldonInvalidMetadataError", "validate_model_metadata"]
