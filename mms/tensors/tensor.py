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


class JsonDocument(NamedTuple):
    """What a request or an answer is in a protocol whose JSON may have any form, as KServe's v1.

    `value`: as JSON has it; of an answer also what can be written so. `problem`: of a request, why it has no tensors;
    empty where it has. `explains`: an explanation is asked for, not a prediction.
    """

    value: Any
    problem: str = ""
    explains: bool = False


class InferRequest(NamedTuple):
    """One client's request. `id`: the client's own, empty for none. `model_version`: as it asked, empty for any.

    `inputs`: by name, in the client's order. `outputs`: None for all that the model has. `document`: what the inputs
    were made of, for models that read it themselves; None where it came as tensors.
    """

    id: str
    model_version: str
    parameters: Mapping[str, Parameter]
    inputs: dict[str, Tensor]
    outputs: list[RequestedOutput] | None = None
    document: JsonDocument | None = None
    #: The client takes any number of answers.
    takes_parts: bool = False

    @property
    def explains(self) -> bool:
        """Whether an explanation is asked for."""
        return self.document is not None and self.document.explains


class InferResponse(NamedTuple):
    """What a model answers: those outputs that were asked for, in that order, else all.

    `document`: in place of outputs, the answer to a request that has one.
    """

    outputs: list[Tensor]
    parameters: Mapping[str, Parameter] = NO_PARAMETERS
    document: JsonDocument | None = None
