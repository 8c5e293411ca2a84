"""Triton's extension for generating: members of an object as tensors and parameters, and back."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mms.interfaces.oip.worker.documents.codec_generate import GenerateCodec
from mms.tensors.errors import InferError
from mms.tensors.tensor import InferRequest, InferResponse, Tensor
from mms.wire import ModelOperation

_DECLARED = {
    "inputs": [
        {"name": "text_input", "datatype": "BYTES", "shape": [-1, 1]},
        {"name": "ids", "datatype": "INT32", "shape": [-1, -1]},
    ]
}


def codec(tensors: Any = None) -> GenerateCodec:
    load: Any = SimpleNamespace(model_name="m", model_version=None, tensors=tensors)
    return GenerateCodec(load)


def decoded(document: Any, tensors: Any = None) -> InferRequest:
    operation = ModelOperation("infer", protocol="oip-generate")
    body = bytearray(json.dumps(document).encode())
    return codec(tensors).decode((b"id", 0, b"", b"", b"", 0, body, operation))[0]


def shown(request: InferRequest) -> Any:
    return {
        name: (tensor.datatype, list(tensor.shape), tensor.array.tolist())
        for name, tensor in request.inputs.items()
    }


def test_members_are_declared_inputs_with_their_dimensions_and_the_rest_parameters() -> None:
    document = {
        "id": "7",
        "text_input": "hello",
        "ids": [1, 2, 3],
        "temperature": 0.5,
        "parameters": {"top_k": 3},
    }
    request = decoded(document, _DECLARED)
    assert shown(request) == {
        "text_input": ("BYTES", [1, 1], [[b"hello"]]),
        "ids": ("INT32", [1, 3], [[1, 2, 3]]),
    }
    assert (request.id, request.parameters) == ("7", {"temperature": 0.5, "top_k": 3})


def test_a_model_that_declares_nothing_gets_all_as_inputs_and_the_object_itself() -> None:
    request = decoded({"a": [1, 2], "b": "x", "parameters": {"c": 1}})
    assert shown(request) == {"a": ("INT64", [2], [1, 2]), "b": ("BYTES", [1], [b"x"])}
    assert request.parameters == {"c": 1}
    request = decoded({"messages": [{"role": "user"}]})
    assert request.document is not None
    assert request.document.value == {"messages": [{"role": "user"}]}
    assert request.document.problem


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "an object is right"),
        ({"other": [1]}, "no input 'other'.*its inputs are text_input, ids"),
        ({"ids": "x"}, "ids"),
        ({"ids": [[1], 2]}, "ids"),
        ({"ids": {}}, "ids"),
        ({str(number): 0 for number in range(1001)}, "1000 are the most"),
    ],
)
def test_what_is_no_request_is_refused(document: Any, message: str) -> None:
    with pytest.raises(InferError, match=message):
        decoded(document, _DECLARED)


def test_outputs_are_members_with_one_value_or_a_list() -> None:
    texts = np.array([[b"hi"]], object)
    outputs = [
        Tensor("text_output", "BYTES", [1, 1], texts),
        Tensor("scores", "FP32", [1, 2], np.array([[1.5, 2.5]], np.float32)),
    ]
    used = codec()
    request, form = used.decode((b"id", 0, b"", b"", b"", 0, bytearray(b'{"id": "7"}'), None))
    body = used.encode(request, form, InferResponse(outputs), 0)[5]
    assert json.loads(bytes(body)) == {
        "model_name": "m",
        "model_version": "1",
        "id": "7",
        "text_output": "hi",
        "scores": [1.5, 2.5],
    }
