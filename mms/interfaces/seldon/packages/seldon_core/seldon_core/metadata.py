"""The check of metadata."""

from __future__ import annotations

import os

from mms.interfaces.seldon.metadata import DATA_TYPES
from mms.interfaces.seldon.metadata import SeldonInvalidMetadataError as SeldonInvalidMetadataError
from mms.interfaces.seldon.metadata import validate_model_metadata as validate_model_metadata

from ._elsewhere import names_elsewhere

__getattr__ = names_elsewhere(__name__)

MODEL_IMAGE = os.environ.get("PREDICTIVE_UNIT_IMAGE")
TENSOR_DATA_TYPES = list(DATA_TYPES)
