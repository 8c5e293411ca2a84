"""Requests that come by other paths than the Open Inference Protocol's to a model that takes tensors alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mms.interfaces.oip.worker.items import TensorOnlyItems
from mms.tensors.results import response_of
from mms.tensors.tensor import InferRequest
from mms.wire import FAILED, Item, Load, ModelOperation, ResultItem

_BODY = json.dumps({"inputs": [{"name": "x", "datatype": "INT8", "shape": [1], "data": [1]}]})


class _Echo:
    """Answers each request by its own input."""

    explains = False
    reads_documents = False

    def infer(self, requests: list[InferRequest]) -> list[Any]:
        return [response_of(each.inputs["x"].array, each, None) for each in requests]

    def close(self) -> None:
        return


def served(*operations: ModelOperation | None) -> list[ResultItem]:
    items: list[Item] = [
        (b"id", 0, b"", b"", b"", 0, bytearray(_BODY.encode()), operation)
        for operation in operations
    ]
    results = TensorOnlyItems(Load("m", None, "/", "service:Model"), _Echo()).serve_items(items)
    return sorted(results, key=lambda result: result[0])


@pytest.mark.parametrize("name", [None, "", "infer", "predict"])
def test_an_inference_is_served_whatever_its_protocol_calls_it(name: str | None) -> None:
    (result,) = served(None if name is None else ModelOperation(name))
    assert (result[2], json.loads(bytes(result[5]))["outputs"][0]["data"]) == (200, [1])


@pytest.mark.parametrize("name", ["route", "send-feedback", "explain"])
def test_another_operation_is_refused_by_its_name_and_alone(name: str) -> None:
    refused, answered = served(ModelOperation(name), None)
    assert (refused[1], refused[2]) == (FAILED, 501)
    assert f"the operation '{name}'" in bytes(refused[5]).decode()
    assert answered[2] == 200
