"""The envelope `kservev2`: requests and answers of KServe's second protocol, the Open Inference Protocol."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np

from .base import BaseEnvelope

_DATATYPES = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "byte": "BYTES",
    "object": "BYTES",
    "U": "BYTES",
}

#: Of the context.
_NAMES = "input_names"
_REQUEST_ID = "input_request_id"


class _Request(NamedTuple):
    """What an answer repeats of its request."""

    request_id: str | None
    names: list[str]
    #: It came by a protocol of tensors, which takes arrays by their names.
    has_arrays: bool


class KServev2Envelope(BaseEnvelope):
    """Joins the inputs of all requests of a batch: a handler gets a mapping for each input, with its name and its data.

    The results of a request are its outputs, each by the name of the input at its place. Meanwhile `input_names` of the
    context has the names of all inputs, and `input_request_id` the first request's own id, if it has one.
    """

    def __init__(self, handle_fn: Any) -> None:
        super().__init__(handle_fn)
        self._requests: list[_Request] = []

    def handle(self, data: Any, context: Any) -> Any:
        try:
            return super().handle(data, context)
        finally:
            for name in (_NAMES, _REQUEST_ID):
                vars(context).pop(name, None)

    def parse_input(self, data: Any) -> Any:
        inputs: list[Any] = []
        self._requests = []
        for row in data:
            body = row.get("inputs")
            has_arrays = isinstance(body, dict)
            if has_arrays:
                own = [_input_of(name, array) for name, array in body.items()]
                request_id = row.get("id")
            else:
                body = row.get("data") or row.get("body")
                if isinstance(body, bytes | bytearray):
                    body = json.loads(body)
                own = [{**tensor, "data": _values(tensor)} for tensor in body["inputs"]]
                request_id = body.get("id")
            has_id = isinstance(request_id, str) and request_id.strip() != ""
            names = [tensor["name"] for tensor in own]
            self._requests.append(_Request(request_id if has_id else None, names, has_arrays))
            inputs += own
        setattr(self.context, _NAMES, [tensor["name"] for tensor in inputs])
        if self._requests and self._requests[0].request_id is not None:
            setattr(self.context, _REQUEST_ID, self._requests[0].request_id)
        return inputs

    def format_output(self, data: Any) -> Any:
        described = (self.context.manifest or {}).get("model", {})
        answers: list[Any] = []
        start = 0
        is_alone = len(self._requests) == 1
        for place, request in enumerate(self._requests):
            end = len(data) if is_alone else start + len(request.names)
            outputs = list(zip(data[start:end], request.names, strict=False))
            start = end
            if request.has_arrays:
                answers.append({name: np.array(values).flatten() for values, name in outputs})
                continue
            answers.append(
                {
                    "id": request.request_id or self.context.get_request_id(place),
                    "model_name": described.get("modelName"),
                    "model_version": described.get("modelVersion"),
                    "outputs": [_output(values, name) for values, name in outputs],
                }
            )
        return answers


def _input_of(name: str, array: Any) -> dict[str, Any]:
    """Return an array as the document of a request has it."""
    datatype = _DATATYPES.get(str(array.dtype), "BYTES")
    shape = list(array.shape)
    if datatype != "BYTES":
        return {"name": name, "shape": shape, "datatype": datatype, "data": array.tolist()}
    first = array.flatten()[0]
    text = first.decode("utf-8", "replace") if isinstance(first, bytes) else str(first)
    return {"name": name, "shape": shape, "datatype": datatype, "data": text}


def _values(tensor: Any) -> Any:
    """Return the data of an input as lists of its shape; of texts, the first one."""
    if tensor["datatype"] == "BYTES":
        return tensor["data"][0]
    return np.array(tensor["data"]).reshape(tuple(tensor["shape"])).tolist()


def _output(values: Any, name: str) -> dict[str, Any]:
    flat = np.array(values).flatten()
    datatype = _DATATYPES.get(str(flat.dtype)) or _DATATYPES[flat.dtype.kind]
    return {"name": name, "datatype": datatype, "data": flat.tolist(), "shape": list(flat.shape)}
