"""What a client may not say of an output that it asks for, whether over REST or gRPC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mms.tensors.errors import InferError
from mms.tensors.tensor import Parameter

#: How names of parameters begin that have a tensor lie in memory of the client's.
SHARED_MEMORY: Final = "shared_memory_"
_CLASSIFICATION: Final = "classification"


def check_output(parameters: Mapping[str, Parameter], what: str) -> None:
    """Raises InferError for a parameter that asks for what this server does not do."""
    for name in parameters:
        if name == _CLASSIFICATION or name.startswith(SHARED_MEMORY):
            raise InferError(f"{what} has the parameter {name}, which is not supported.")
