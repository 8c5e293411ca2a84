"""A request for inference and its answer, as models see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import numpy as np

    Array: TypeAlias = "np.ndarray[Any, Any]"

#: Values of parameters; protocols have no others.
Parameter: TypeAlias = "bool | int | float | str"
#: What most requests, tensors and outputs have.
NO_PARAMETERS: Mapping[str, Parameter] = {}


class Tensor(NamedTuple):
    """`array`: of the shape, in numpy's type of the datatype; BYTES as objects that are `bytes`. A request's can be
    written to."""

    name: str
    datatype: str
    shape: Sequence[int]
    array: Array
    parameters: Mapping[str, Parameter] = NO_PARAMETERS


class RequestedOutput(NamedTuple):
    """`parameters`: what the client says of it, without what says in which form it travels."""

    name: str
    parameters: Mapping[str, Parameter] = NO_PARAMETERS


class InferRequest(NamedTuple):
    """One client's request. `id`: the client's own, empty for none. `model_version`: as it asked, empty for any.

    `inputs`: by name, in the client's order. `outputs`: None for all that the model has.
    """

    id: str
    model_version: str
    parameters: Mapping[str, Parameter]
    inputs: dict[str, Tensor]
    outputs: list[RequestedOutput] | None = None


class InferResponse(NamedTuple):
    """What a model answers: those outputs that were asked for, in that order, else all."""

    outputs: list[Tensor]
    parameters: Mapping[str, Parameter] = NO_PARAMETERS
