"""What models' code returns becomes tensors, by its declaration or by what it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mms.tensors.declaration import ModelDeclaration
from mms.tensors.errors import InferError
from mms.tensors.results import response_of
from mms.tensors.tensor import InferRequest, RequestedOutput, Tensor

REQUEST = InferRequest("", "", {}, {})


def declared(*outputs: tuple[str, str, list[int]]) -> ModelDeclaration:
    return ModelDeclaration.from_members(
        {"outputs": [{"name": n, "datatype": d, "shape": s} for n, d, s in outputs]}
    )


def asked_for(*names: str) -> InferRequest:
    return REQUEST._replace(outputs=[RequestedOutput(name) for name in names])


def shown(tensor: Tensor) -> tuple[str, str, list[int], Any]:
    return tensor.name, tensor.datatype, list(tensor.shape), tensor.array.tolist()


@pytest.mark.parametrize(
    ("result", "datatype", "shape", "values"),
    [
        ([1, 2], "INT64", [2], [1, 2]),
        ([[1.5], [2]], "FP64", [2, 1], [[1.5], [2.0]]),
        (7, "INT64", [], 7),
        (0.5, "FP64", [], 0.5),
        ([True, False], "BOOL", [2], [True, False]),
        ("grün", "BYTES", [], "grün".encode()),
        (b"\x00\xff\x00", "BYTES", [], b"\x00\xff\x00"),
        ([["a"], ["b"]], "BYTES", [2, 1], [[b"a"], [b"b"]]),
        ([b"a\x00", b""], "BYTES", [2], [b"a\x00", b""]),
        (np.array(["a", "bc"]), "BYTES", [2], [b"a", b"bc"]),
        (np.array([1], np.float16), "FP16", [1], [1.0]),
        (np.array([1], ">u2"), "UINT16", [1], [1]),
        (np.float32(2), "FP32", [], 2.0),
        ([], "FP64", [0], []),
    ],
)
def test_a_value_that_is_not_declared_has_the_datatype_that_it_is_of(
    result: Any, datatype: str, shape: list[int], values: Any
) -> None:
    (tensor,) = response_of(result, REQUEST).outputs
    assert shown(tensor) == ("output_0", datatype, shape, values)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ({1: [1]}, "The model's result has the output 1, whose name is no text."),
        ({"x": [[1], [1, 2]]}, "Output 'x' is no array:"),
        (
            {"x": None},
            "Output 'x' has an element of BYTES that is neither bytes nor text, but NoneType.",
        ),
        ({"x": [2**70]}, "Output 'x' has whole numbers that are larger than any datatype holds."),
        ({"x": "\ud800"}, "Output 'x' has a text with half of a character (a lone surrogate)"),
        ({"x": np.array([1j])}, "Output 'x' is of numpy's type complex128, which no datatype has."),
        (
            {"x": ["a", 1]},
            "Output 'x' has an element of BYTES that is neither bytes nor text, but int.",
        ),
        (
            {"x": np.ma.masked_array([1, 2], [0, 1])},
            "Output 'x' has masked elements, which no datatype has.",
        ),
    ],
)
def test_a_value_without_a_datatype_is_500_that_names_the_output(result: Any, message: str) -> None:
    with pytest.raises(InferError) as caught:
        response_of(result, REQUEST)
    assert caught.value.status == 500
    assert caught.value.message.startswith(message)


def test_declared_outputs_are_cast_and_come_in_their_order() -> None:
    declaration = declared(("a", "FP32", [-1]), ("b", "INT32", [2]), ("c", "BYTES", []))
    result = {"c": "x", "b": [1.0, 2.0], "unknown": object(), "a": np.array([0.1])}
    response = response_of(result, REQUEST, declaration)
    assert [shown(tensor) for tensor in response.outputs] == [
        ("a", "FP32", [1], [float(np.float32(0.1))]),
        ("b", "INT32", [2], [1, 2]),
        ("c", "BYTES", [], b"x"),
    ]


def test_a_value_alone_is_the_only_declared_output() -> None:
    (tensor,) = response_of([1], REQUEST, declared(("score", "FP32", [1]))).outputs
    assert shown(tensor) == ("score", "FP32", [1], [1.0])


@pytest.mark.parametrize(
    ("result", "datatype", "message"),
    [
        ([1, 2], "INT64", "Output 'x' has the shape [2]; the model declares [3]."),
        ([1.5] * 3, "INT32", "Output 'x' is declared as INT32, and has values of float64"),
        ([300] * 3, "UINT8", "Output 'x' is declared as UINT8, and has values of int64"),
        ([float("nan")] * 3, "INT64", "Output 'x' is declared as INT64, and has values of float64"),
        ([2] * 3, "BOOL", "Output 'x' is declared as BOOL, and has values of int64 that are not t"),
        ([1] * 3, "BYTES", "Output 'x' is declared as BYTES, and the model's result has numpy's"),
        (["1"] * 3, "FP32", "Output 'x' is declared as FP32, and the model's result has numpy's"),
        ({"y": [1] * 3}, "FP32", "Output 'x' is declared, and the model's result does not have it"),
    ],
)
def test_a_result_that_is_not_as_declared_is_500_that_names_the_output(
    result: Any, datatype: str, message: str
) -> None:
    with pytest.raises(InferError) as caught:
        response_of(result, REQUEST, declared(("x", datatype, [3])))
    assert caught.value.status == 500
    assert caught.value.message.startswith(message)


def test_a_value_alone_is_refused_where_several_outputs_are_declared() -> None:
    with pytest.raises(InferError, match="declares the outputs a, b: a dict"):
        response_of([1], REQUEST, declared(("a", "FP32", [1]), ("b", "FP32", [1])))


def test_the_outputs_that_were_asked_for_come_alone_and_in_their_order() -> None:
    response = response_of({"a": 1, "b": 2, "c": 3}, asked_for("c", "a", "c"))
    assert [tensor.name for tensor in response.outputs] == ["c", "a"]
    declaration = declared(("a", "INT64", []), ("b", "INT64", []))
    response = response_of({"b": 2}, asked_for("b"), declaration)
    assert [tensor.name for tensor in response.outputs] == ["b"]


def test_an_output_that_the_model_did_not_give_is_400() -> None:
    with pytest.raises(InferError) as caught:
        response_of({"a": 1}, asked_for("b"))
    assert (caught.value.status, caught.value.message) == (
        400,
        "Unknown output 'b'; the model gave a.",
    )
