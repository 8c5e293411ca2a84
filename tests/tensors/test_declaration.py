"""What a model declares: requests are held to it, and wrong declarations are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mms.tensors.declaration import InvalidDeclaration, ModelDeclaration
from mms.tensors.errors import InferError
from mms.tensors.tensor import InferRequest, RequestedOutput, Tensor

SCORES = ModelDeclaration.from_members(
    {
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [-1, 4]},
            {"name": "mask", "datatype": "BOOL", "shape": [-1], "optional": True},
        ],
        "outputs": [{"name": "score", "datatype": "FP32", "shape": [-1]}],
    }
)
BATCHED = ModelDeclaration.from_members(
    {
        "inputs": [
            {"name": "a", "datatype": "INT64", "shape": [-1, 2]},
            {"name": "b", "datatype": "INT64", "shape": [-1]},
        ],
        "max_batch_size": 8,
    }
)


def tensor(name: str, datatype: str, *shape: int) -> Tensor:
    return Tensor(name, datatype, shape, np.zeros(shape))


def request(*tensors: Tensor, outputs: list[str] | None = None) -> InferRequest:
    requested = None if outputs is None else [RequestedOutput(name) for name in outputs]
    return InferRequest("", "", {}, {each.name: each for each in tensors}, requested)


@pytest.mark.parametrize(
    ("declaration", "asked", "message"),
    [
        (SCORES, request(), "Input 'x' is missing; the model takes x (FP32 [-1, 4])."),
        (
            SCORES,
            request(tensor("x", "FP32", 1, 4), tensor("y", "FP32", 1)),
            "Unknown input 'y'; the model has x, mask.",
        ),
        (
            SCORES,
            request(tensor("maks", "BOOL", 1), tensor("x", "FP32", 1, 4)),
            "Unknown input 'maks'; did you mean mask?",
        ),
        (
            SCORES,
            request(tensor("x", "FP64", 1, 4)),
            "Input 'x' has the datatype FP64; the model takes FP32.",
        ),
        (
            SCORES,
            request(tensor("x", "FP32", 4)),
            "Input 'x' has the shape [4], which is of rank 1; the model takes [-1, 4], rank 2 (-1: any size).",
        ),
        (
            SCORES,
            request(tensor("x", "FP32", 2, 3)),
            "Input 'x' has the shape [2, 3], 3 in dimension 1; the model takes [-1, 4] (-1: any size).",
        ),
        (
            SCORES,
            request(tensor("x", "FP32", 1, 4), outputs=["label"]),
            "Unknown output 'label'; the model has score.",
        ),
        (
            BATCHED,
            request(tensor("a", "INT64", 9, 2), tensor("b", "INT64", 9)),
            "Input 'a' has 9 rows on axis 0; the model takes at most 8 (max_batch_size).",
        ),
        (
            BATCHED,
            request(tensor("a", "INT64", 2, 2), tensor("b", "INT64", 3)),
            "Input 'b' has 3 rows on axis 0, and input 'a' has 2; a batch has equally many of each.",
        ),
    ],
)
def test_a_request_that_is_not_as_declared_is_400_that_names_the_tensor(
    declaration: ModelDeclaration, asked: InferRequest, message: str
) -> None:
    with pytest.raises(InferError) as caught:
        declaration.check(asked)
    assert (caught.value.status, caught.value.message) == (400, message)


@pytest.mark.parametrize(
    ("declaration", "asked"),
    [
        (SCORES, request(tensor("x", "FP32", 7, 4), outputs=["score"])),
        (SCORES, request(tensor("mask", "BOOL", 2), tensor("x", "FP32", 0, 4))),
        (BATCHED, request(tensor("b", "INT64", 8), tensor("a", "INT64", 8, 2), outputs=["any"])),
        (ModelDeclaration(), request(tensor("whatever", "BYTES", 1), outputs=["any"])),
    ],
)
def test_a_request_that_is_as_declared_is_taken(
    declaration: ModelDeclaration, asked: InferRequest
) -> None:
    declaration.check(asked)


def one(**members: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1]} | members]}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([], "it must be a mapping with inputs, outputs, max_batch_size, not []"),
        ({"input": []}, "unknown member 'input'; did you mean inputs?"),
        (
            {"inputs": {"name": "x"}},
            'inputs must be a list of {"name", "datatype", "shape"}, not {\'name\': \'x\'}',
        ),
        ({"inputs": [3]}, 'inputs[0] must be a mapping with "name", "datatype" and "shape", not 3'),
        (one(name=""), "inputs[0].name must be a text, not ''"),
        (one(dtype="FP32"), "unknown member 'dtype' of inputs[0] (x); did you mean datatype?"),
        (one(datatype="float32"), "inputs[0] (x) has the datatype 'float32', which is not one of"),
        (one(shape="4"), "inputs[0] (x) has the shape '4'; a list such as [-1, 4] is right"),
        (one(shape=[-2]), "inputs[0] (x) has the dimension -2; a whole number from 0 on"),
        (one(shape=[True]), "inputs[0] (x) has the dimension True"),
        (one(shape=[1] * 33), "inputs[0] (x) has 33 dimensions; 32 are the most"),
        (one(optional=1), "inputs[0] (x).optional must be true or false, not 1"),
        ({"outputs": one()["inputs"] * 2}, "outputs has the name 'x' twice"),
        (one() | {"max_batch_size": -1}, "max_batch_size must be a whole number from 0 on, not -1"),
        (
            one() | {"max_batch_size": 2},
            "x of inputs has the shape [1]; with max_batch_size, axis 0 is that of the batch, whose size is -1",
        ),
    ],
)
def test_a_wrong_declaration_is_refused_with_the_place_and_what_is_right(
    members: Any, message: str
) -> None:
    with pytest.raises(InvalidDeclaration) as caught:
        ModelDeclaration.from_members(members)
    assert message in str(caught.value)


def test_a_declaration_survives_its_members() -> None:
    for declaration in (SCORES, BATCHED, ModelDeclaration()):
        assert ModelDeclaration.from_members(declaration.to_members()) == declaration
