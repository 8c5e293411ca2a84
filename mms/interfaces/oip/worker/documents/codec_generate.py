"""Requests of Triton's extension for generating: one JSON object, whose members are inputs by name, and parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from mms.interfaces.oip.worker.documents.codec_instances import (
    OPTIONS,
    datatype_of,
    parameters_of,
    plain,
    shape_of,
)
from mms.tensors.datatypes import DATATYPES
from mms.tensors.declaration import TensorDeclaration
from mms.tensors.errors import InferError
from mms.tensors.json_numbers import array_of_json, json_of_array
from mms.tensors.tensor import InferRequest, InferResponse, JsonDocument, Parameter, Tensor
from mms.text.brief import brief
from mms.wire import Item, Load, ResultItem
from mms.worker.tensors.items import declaration_of

_ID: Final = "id"
_PARAMETERS: Final = "parameters"
#: What a handler answers that gives no outputs by name.
_TEXT: Final = "text_output"
#: Each is a tensor or a parameter of its own.
_MOST_MEMBERS: Final = 1000
_JSON_LINES: Final = b"content-type: application/json\r\n"


class GenerateCodec:
    """Reads and writes the requests to one model."""

    def __init__(self, load: Load) -> None:
        self._begin: dict[str, Any] = {
            "model_name": load.model_name,
            "model_version": load.model_version or "1",
        }
        self._version = load.model_version or ""
        declaration = declaration_of(load)
        declared = () if declaration is None else declaration.inputs
        self._declared = {each.name: each for each in declared}

    def __repr__(self) -> str:
        return f"<GenerateCodec, inputs {list(self._declared)}>"

    def decode(self, item: Item) -> tuple[InferRequest, None]:
        """Raises InferError."""
        try:
            document = orjson.loads(item[6])
        except ValueError as error:
            raise InferError(f"The body is not JSON: {error}.") from None
        if type(document) is not dict:
            raise InferError(f"The body is {brief(document)}; an object is right.")
        if len(document) > _MOST_MEMBERS:
            raise InferError(f"The body has {len(document)} members; {_MOST_MEMBERS} are the most.")
        problem = ""
        inputs: dict[str, Tensor] = {}
        parameters: Mapping[str, Parameter] = parameters_of(document)
        try:
            inputs, others = self._inputs_of(document)
            parameters = {**others, **parameters}
        except InferError as error:
            # A model that declares nothing may read the JSON itself.
            if self._declared:
                raise
            problem = error.message
        client_id = document.get(_ID, "")
        request = InferRequest(
            *(client_id if type(client_id) is str else "", self._version, parameters, inputs),
            document=JsonDocument(document, problem),
        )
        return request, None

    def _inputs_of(
        self, document: dict[str, Any]
    ) -> tuple[dict[str, Tensor], dict[str, Parameter]]:
        """Return the inputs, and the members that are parameters: those that a model does not declare."""
        declared = self._declared
        inputs: dict[str, Tensor] = {}
        others: dict[str, Parameter] = {}
        for name, value in document.items():
            if name in declared or not (declared or name in (_ID, _PARAMETERS)):
                inputs[name] = _tensor(name, value, declared.get(name))
            elif name in (_ID, _PARAMETERS):
                continue
            elif type(value) in (str, bool, int, float):
                others[name] = value
            else:
                raise InferError(
                    f"The model has no input {brief(name)}, and a parameter is a text, a number, true or false; "
                    f"its inputs are {', '.join(declared)}."
                )
        return inputs, others

    def encode(
        self, request: InferRequest, form: None, response: InferResponse, index: int
    ) -> ResultItem:
        """Raises InferError."""
        answer = dict(self._begin)
        if request.id:
            answer[_ID] = request.id
        if response.document is not None:
            said = response.document.value
            answer.update(said if type(said) is dict else {_TEXT: said})
        for tensor in response.outputs:
            what = f"Output {brief(tensor.name)}"
            values = orjson.loads(json_of_array(tensor.array, tensor.datatype, what))
            answer[tensor.name] = values[0] if len(values) == 1 else values
        try:
            text = orjson.dumps(answer, plain, OPTIONS)
        except (TypeError, ValueError, RecursionError) as error:
            raise InferError(f"The answer of the model is no JSON: {error}.", 500) from None
        return index, 0, 200, b"OK", _JSON_LINES, text


def _tensor(name: str, value: Any, declared: TensorDeclaration | None) -> Tensor:
    """Return the tensor of a value, or of a list of values, with as many dimensions as the model declares."""
    what = f"Input {brief(name)}"
    values = value if type(value) is list else [value]
    shape = shape_of(values, what)
    datatype = datatype_of(values, what) if declared is None else declared.datatype
    array = array_of_json(values, DATATYPES[datatype], shape, what)
    if declared is not None:
        shape = [1] * (len(declared.shape) - len(shape)) + shape
    return Tensor(name, datatype, shape, array.reshape(shape))
