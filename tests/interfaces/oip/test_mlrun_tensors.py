"""Models of MLRun's contract, asked with tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mms.interfaces.mlrun.load import ServingLoad
from mms.interfaces.mlrun.model.model_server import V2ModelServer
from mms.interfaces.mlrun.worker.interface import BehindRouter, make_context
from mms.interfaces.mlrun.worker.items import MlrunItems
from mms.interfaces.mlrun.worker.tensors import MlrunTensors
from mms.tensors.errors import InferError
from mms.tensors.tensor import InferRequest, InferResponse, Tensor
from mms.wire import Load


class Notes(V2ModelServer):  # type: ignore[misc]  # the base is untyped for models
    seen: list[Any] = []

    def load(self) -> None:
        self.model = True

    def predict(self, request: dict[str, Any]) -> Any:
        self.seen.append(request)
        rows = request["inputs"]
        if rows == [0]:
            raise ValueError("zero is refused")
        return {"a": [1], "b": [2.5]} if rows == [1] else rows


@pytest.fixture
def server() -> MlrunTensors:
    load = Load("m", None, "/", "service:Notes")
    context = make_context(load, ServingLoad())
    model = Notes(context=context, name="m", model_path="")
    model.post_init("sync")
    Notes.seen.clear()
    return MlrunTensors(MlrunItems(BehindRouter(model, context.options), context), load)


def tensor(name: str, values: Any, dtype: Any = np.float64, datatype: str = "FP64") -> Tensor:
    array = np.array(values, dtype)
    return Tensor(name, datatype, array.shape, array)


def request(*tensors: Tensor, **parameters: Any) -> InferRequest:
    return InferRequest("7", "", parameters, {each.name: each for each in tensors})


def shown(answer: InferResponse | InferError) -> Any:
    if isinstance(answer, InferError):
        return answer.status, answer.message
    return {each.name: (each.datatype, each.array.tolist()) for each in answer.outputs}


def test_the_only_input_is_the_list_of_inputs(server: MlrunTensors) -> None:
    (answer,) = server.infer([request(tensor("x", [[1.5, 2.0], [3.0, 4.0]]), mode="a")])
    assert shown(answer) == {"output_0": ("FP64", [[1.5, 2.0], [3.0, 4.0]])}
    assert Notes.seen[0]["inputs"] == [[1.5, 2.0], [3.0, 4.0]]
    assert (Notes.seen[0]["id"], Notes.seen[0]["parameters"]) == ("7", {"mode": "a"})


def test_several_inputs_are_columns_of_rows(server: MlrunTensors) -> None:
    words = tensor("town", [b"Bern", b"Genf"], object, "BYTES")
    server.infer([request(tensor("x", [[1, 2], [3, 4]]), words)])
    assert Notes.seen[0]["inputs"] == [[1.0, 2.0, "Bern"], [3.0, 4.0, "Genf"]]
    (answer,) = server.infer([request(tensor("x", [1.0]), words)])
    assert shown(answer)[0] == 400 and "several inputs are columns of equally" in shown(answer)[1]


def test_outputs_by_name_are_outputs_of_their_names(server: MlrunTensors) -> None:
    (answer,) = server.infer([request(tensor("x", [1], np.int64, "INT64"))])
    assert shown(answer) == {"a": ("INT64", [1]), "b": ("FP64", [2.5])}


def test_an_error_of_the_model_s_code_is_500_and_fails_its_request_alone(
    server: MlrunTensors,
) -> None:
    zero, two = (tensor("x", [value], np.int64, "INT64") for value in (0, 2))
    answers = server.infer([request(zero), request(two), request()])
    status, message = shown(answers[0])
    assert status == 500 and "zero is refused" in message
    assert shown(answers[1]) == {"output_0": ("INT64", [2])}
    assert shown(answers[2]) == (400, "the request has no input")
