"""Requests of a protocol of tensors to a model of MLRun's contract: an event with the list `inputs`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mms.interfaces.mlrun.errors import status_of
from mms.interfaces.mlrun.model.event import MockEvent, MockTrigger
from mms.interfaces.mlrun.worker.items import MlrunItems
from mms.tensors.datatypes import BYTES
from mms.tensors.errors import InferError
from mms.tensors.results import response_of
from mms.tensors.tensor import InferRequest, InferResponse, JsonDocument, Tensor
from mms.text.brief import brief
from mms.wire import Load
from mms.worker.tensors.failures import Failures
from mms.worker.tensors.items import declaration_of

_OPERATION = "infer"
_EXPLANATION = "explain"
#: The lists of rows that a document may have.
_ROWS = ("inputs", "instances")
_JSON = "application/json"
_TRIGGER = MockTrigger("http", "http")


class MlrunTensors:
    """The `TensorServer` of one model."""

    #: Those without explanations say so themselves.
    explains = True
    reads_documents = True

    def __init__(self, items: MlrunItems, load: Load) -> None:
        self._items = items
        self._declaration = declaration_of(load)
        self._failures = Failures(load)

    def __repr__(self) -> str:
        return f"<MlrunTensors of {self._items!r}>"

    def infer(self, requests: list[InferRequest]) -> list[InferResponse | InferError]:
        answers: dict[int, InferResponse | InferError] = {}
        events: dict[int, MockEvent] = {}
        for place, request in enumerate(requests):
            try:
                events[place] = _event_of(request)
            except InferError as error:
                answers[place] = error
        responses = self._items.answer_events(list(events.values()))
        for place, response in zip(events, responses, strict=True):
            try:
                answers[place] = self._answer(response, requests[place])
            except Exception as error:
                answers[place] = self._failures.of(error)
        return [answers[place] for place in range(len(requests))]

    def _answer(self, response: Any, request: InferRequest) -> InferResponse:
        body = response.body
        if response.status_code != 200:
            text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
            error = getattr(response, "error", None)
            status = response.status_code
            if isinstance(error, BaseException):
                # By what went wrong, whatever MLRun's dialect has for its clients.
                status = status_of(error, True)
            raise InferError(text, status)
        if isinstance(body, bytes | bytearray | str):
            try:
                body = json.loads(body)
            except ValueError:
                raise InferError("the model's answer is no JSON", 500) from None
        if not isinstance(body, Mapping) or "outputs" not in body:
            raise InferError("the model's answer has no outputs", 500)
        outputs = body["outputs"]
        if request.document is not None:
            return InferResponse([], document=JsonDocument(outputs, explains=request.explains))
        return response_of(outputs, request, self._declaration)


def _event_of(request: InferRequest) -> MockEvent:
    """Return the event that a client of MLRun's would have sent. Raises InferError for inputs that are no rows."""
    document = request.document
    rows = _rows_of(request.inputs) if document is None else _rows_of_document(document)
    body: dict[str, Any] = {"inputs": rows}
    if request.id:
        body["id"] = request.id
    if request.parameters:
        body["parameters"] = dict(request.parameters)
    operation = _EXPLANATION if request.explains else _OPERATION
    return MockEvent(body, _JSON, {}, "POST", operation, request.id or None, _TRIGGER)


def _rows_of_document(document: JsonDocument) -> list[Any]:
    """Raises InferError."""
    for name in _ROWS:
        if isinstance(document.value.get(name), list):
            rows: list[Any] = document.value[name]
            return rows
    raise InferError(document.problem)


def _rows_of(inputs: Mapping[str, Tensor]) -> list[Any]:
    """Return the elements of the only input, nested as its shape, or rows with the columns of several."""
    if not inputs:
        raise InferError("the request has no input")
    first = next(iter(inputs.values()))
    if len(inputs) == 1:
        found = _list_of(first)
        return found if isinstance(found, list) else [found]
    for name, tensor in inputs.items():
        shape = list(tensor.shape)
        if len(shape) not in (1, 2) or shape[0] != first.shape[0]:
            raise InferError(
                f"input {brief(name)} has the shape {shape}; several inputs are columns of equally many rows"
            )
    return [
        [value for part in row for value in (part if isinstance(part, list) else [part])]
        for row in zip(*(_list_of(tensor) for tensor in inputs.values()), strict=True)
    ]


def _list_of(tensor: Tensor) -> Any:
    found = tensor.array.tolist()
    return _texts_of(found) if tensor.datatype == BYTES else found


def _texts_of(value: Any) -> Any:
    if isinstance(value, list):
        return [_texts_of(each) for each in value]
    return value.decode("utf-8", "replace")
