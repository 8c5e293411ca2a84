"""The check of metadata."""

from __future__ import annotations

import os

from mms.interfaces.seldon.metadata import (
    DATA_TYPES,
    SeldonInvalidMetadataError,
    validate_model_metadata,
)

from ._elsewhere import names_elsewhere

__getattr__ = names_elsewhere(
    __name__,
    "metadata are checked without a JSON schema; validate_model_metadata says what is wrong",
    *("INPUTS_OUTPUTS_SCHEMA", "JSON_SCHEMA", "METADATA_TENSOR_SCHEMA", "SELDON_ARRAY_SCHEMA"),
    *("SELDON_BIN_SCHEMA", "SELDON_CUSTOM_DEFINITION", "SELDON_JSON_SCHEMA", "SELDON_STR_SCHEMA"),
)

MODEL_IMAGE = os.environ.get("PREDICTIVE_UNIT_IMAGE")
TENSOR_DATA_TYPES = list(DATA_TYPES)

__all__ = ["SeldonInvalidMetadataError", "TENSOR_DATA_TYPES", "validate_model_metadata"]
