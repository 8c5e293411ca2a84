"""What a client may not say of an output that it asks for, whether over REST or gRPC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mms.tensors.errors import InferError
from mms.tensors.tensor import Parameter

_CLASSIFICATION: Final = "classification"


def check_output(parameters: Mapping[str, Parameter], what: str) -> None:
    """Raises InferError for a parameter that asks for what this server does not do."""
    for name in parameters:
        if name == _CLASSIFICATION:
            raise InferError(f"{what} has the parameter {name}, which is not supported.")
