"""Names of Seldon's generator of test contracts."""

from __future__ import annotations

from ._elsewhere import names_elsewhere

__getattr__ = names_elsewhere(
    __name__,
    "it is part of seldon-core alone",
    "create_seldon_api_testing_file",
)

RANGE_INTEGER_MIN = 0
RANGE_INTEGER_MAX = 1
RANGE_FLOAT_MIN = 0.0
RANGE_FLOAT_MAX = 1.0
