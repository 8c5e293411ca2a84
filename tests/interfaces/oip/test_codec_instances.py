"""Rows of JSON, as KServe's first protocol has them, as tensors and back."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mms.interfaces.oip.worker.documents.codec_instances import InstancesCodec
from mms.tensors.errors import InferError
from mms.tensors.tensor import InferRequest, InferResponse, JsonDocument, Tensor
from mms.wire import ModelOperation

COLUMNS = {
    "inputs": [
        {"name": "a", "datatype": "FP64", "shape": [-1]},
        {"name": "b", "datatype": "BYTES", "shape": [-1, 1]},
    ]
}


def codec(tensors: Any = None) -> InstancesCodec:
    load: Any = SimpleNamespace(model_name="m", model_version=None, tensors=tensors)
    return InstancesCodec(load)


def decoded(document: Any, tensors: Any = None, verb: str = "predict") -> InferRequest:
    operation = ModelOperation(verb, protocol="kserve-v1")
    body = bytearray(json.dumps(document).encode())
    return codec(tensors).decode((b"id", 0, b"", b"", b"", 0, body, operation))[0]


def shown(request: InferRequest) -> Any:
    return {
        name: (tensor.datatype, list(tensor.shape), tensor.array.tolist())
        for name, tensor in request.inputs.items()
    }


def encoded(response: InferResponse, verb: str = "predict") -> Any:
    operation = ModelOperation(verb, protocol="kserve-v1")
    body = bytearray(b'{"instances": [1]}')
    used = codec()
    request, form = used.decode((b"id", 0, b"", b"", b"", 0, body, operation))
    return json.loads(bytes(used.encode(request, form, response, 0)[5]))


def tensor(name: str, array: Any, datatype: str) -> Tensor:
    return Tensor(name, datatype, array.shape, array)


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([1, 2], ("INT64", [2], [1, 2])),
        ([[1, 2.5]], ("FP64", [1, 2], [[1.0, 2.5]])),
        ([True], ("BOOL", [1], [True])),
        (["é"], ("BYTES", [1], ["é".encode()])),
        ([{"b64": "/wA="}, "x"], ("BYTES", [2], [b"\xff\0", b"x"])),
        ([], ("FP64", [0], [])),
    ],
)
def test_rows_without_names_are_one_tensor_of_the_datatype_that_they_have(
    rows: list[Any], found: Any
) -> None:
    assert shown(decoded({"instances": rows})) == {"input_0": found}
    assert shown(decoded({"inputs": rows})) == {"input_0": found}


@pytest.mark.parametrize("rows", [[[1, "x"], [2, "y"]], [{"a": 1, "b": "x"}, {"b": "y", "a": 2}]])
def test_rows_are_the_declared_columns_by_position_and_by_name(rows: list[Any]) -> None:
    assert shown(decoded({"instances": rows}, COLUMNS)) == {
        "a": ("FP64", [2], [1.0, 2.0]),
        "b": ("BYTES", [2, 1], [[b"x"], [b"y"]]),
    }


@pytest.mark.parametrize("rows", [[[1], [1, 2]], [["a", 1]], [None], [{"x": {}}], [[[]], [[1]]]])
def test_rows_that_are_no_tensors_are_a_problem_for_models_that_declare_inputs_alone(
    rows: list[Any],
) -> None:
    document = decoded({"instances": rows}).document
    assert document is not None and document.problem
    assert document.value == {"instances": rows}
    with pytest.raises(InferError):
        decoded({"instances": rows}, COLUMNS)


def test_one_long_text_takes_no_room_for_each_of_its_neighbours() -> None:
    (found,) = decoded({"instances": ["x" * 100_000] + ["y"] * 1000}).inputs.values()
    assert found.array.dtype == object


def test_several_outputs_are_an_object_for_each_row() -> None:
    a = tensor("a", np.array([1, 2]), "INT64")
    b = tensor("b", np.array([[b"x"], [b"\xff"]], object), "BYTES")
    assert encoded(InferResponse([a, b])) == {
        "predictions": [{"a": 1, "b": ["x"]}, {"a": 2, "b": [{"b64": "/w=="}]}]
    }
    one = tensor("c", np.array(2.5), "FP64")
    assert encoded(InferResponse([a, one])) == {"predictions": {"a": [1, 2], "c": 2.5}}


def test_a_document_is_the_answer_and_an_explanation_says_so() -> None:
    value = {"x": np.float32(0.1), "y": np.arange(6).reshape(2, 3).T, 1: b"z"}
    found = encoded(InferResponse([], document=JsonDocument(value)))
    assert found == {"predictions": {"x": 0.1, "y": [[0, 3], [1, 4], [2, 5]], "1": "z"}}
    with pytest.raises(InferError, match="no explanations") as raised:
        encoded(InferResponse([], document=JsonDocument([1])), "explain")
    assert raised.value.status == 501
    with pytest.raises(InferError, match="no JSON"):
        encoded(InferResponse([], document=JsonDocument([object()])))
