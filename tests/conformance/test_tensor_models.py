"""Models of tensors, of whatever server they were written for, answer clients of the Open Inference Protocol."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.client import Reply
from support.server import Server

pytestmark = pytest.mark.better_than_mms

Add = Callable[..., str]

CONFIG = """
backend: "python"
max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: [ 2 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ 2 ] }
dynamic_batching { }
"""
TRITON = """
import json
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        config = pb_utils.get_output_config_by_name(json.loads(args["model_config"]), "y")
        self.dtype = pb_utils.triton_string_to_numpy(config["data_type"])

    def execute(self, requests):
        responses = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            if (x < 0).any():
                error = pb_utils.TritonError("no negative numbers", pb_utils.TritonError.INVALID_ARG)
                responses.append(pb_utils.InferenceResponse(error=error))
                continue
            y = pb_utils.Tensor("y", (x * 2).astype(self.dtype))
            responses.append(pb_utils.InferenceResponse([y]))
        return responses
"""
MLSERVER = """
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class Doubles(MLModel):
    async def predict(self, payload):
        x = self.decode(payload.inputs[0], default_codec=NumpyCodec)
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("y", x * 2)])
"""
MODEL = """
class Model:
    def load(self):
        self.factor = 2

    async def predict(self, inputs, parameters):
        return {"y": inputs["x"] * self.factor}
"""
HANDLER = """
def handle(data, context):
    return data and [{"y": item["inputs"]["x"] * 2} for item in data]
"""
SELDON = """
class Doubles:
    def predict(self, X, names):
        return X * 2
"""
TENSORS = {
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}],
}
SETTINGS = json.dumps({"name": "doubles", "implementation": "models.Doubles", **TENSORS})
DECLARED = json.dumps({"oip": TENSORS})

#: Folder of a model -> its files, and the handler where the folder does not tell it.
MODELS: dict[str, tuple[dict[str, str], str | None]] = {
    "triton": ({"config.pbtxt": CONFIG, "1/model.py": TRITON}, None),
    "mlserver": ({"model-settings.json": SETTINGS, "models.py": MLSERVER}, None),
    "model-class": ({"model-config.yaml": DECLARED, "service.py": MODEL}, "service:Model"),
    "handler": ({"model-config.yaml": DECLARED, "service.py": HANDLER}, "service:handle"),
    "seldon": ({"model-config.yaml": DECLARED, "Doubles.py": SELDON}, "Doubles"),
}


@pytest.fixture
def add(server: Server) -> Add:
    """Registers one of these models once for all tests, and returns its name."""

    def of(kind: str) -> str:
        files, handler = MODELS[kind]
        folder = Path(server.store) / f"tensors-{kind}"
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        given = {} if handler is None else {"handler": handler}
        return server.shared(folder.name, **given)

    return of


def infer(server: Server, model: str, rows: list[list[float]], **members: Any) -> Reply:
    tensor = {"name": "x", "datatype": "FP32", "shape": [len(rows), len(rows[0])], "data": rows}
    body = {"inputs": [tensor | members]}
    return server.inference.post(f"/v2/models/{model}/infer", json.dumps(body).encode())


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_shows_its_tensors_and_answers(server: Server, add: Add, kind: str) -> None:
    name = add(kind)
    metadata = server.inference.get(f"/v2/models/{name}").json()
    assert {side: metadata[side] for side in TENSORS} == TENSORS
    assert server.describe(name)["tensors"]["inputs"] == TENSORS["inputs"]
    reply = infer(server, name, [[1, 2], [3, 4]])
    assert reply.status == 200, reply
    (output,) = reply.json()["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("y", "FP32", [2, 2])
    assert output["data"] == [2, 4, 6, 8]


@pytest.mark.parametrize("kind", MODELS)
def test_a_request_that_is_not_as_declared_is_400_that_names_the_input(
    server: Server, add: Add, kind: str
) -> None:
    name = add(kind)
    for rows, members, text in (
        ([[1.0, 2.0]], {"name": "z"}, "Unknown input 'z'"),
        (
            [[1.0, 2.0]],
            {"datatype": "FP64"},
            "Input 'x' has the datatype FP64; the model takes FP32",
        ),
        ([[1.0, 2.0, 3.0]], {}, "Input 'x' has the shape [1, 3], 3 in dimension 1"),
    ):
        reply = infer(server, name, rows, **members)
        assert reply.status == 400, reply
        assert text in reply.json()["error"]


def test_an_error_of_one_request_leaves_the_others_of_its_batch_alone(
    server: Server, add: Add
) -> None:
    name = add("triton")
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda n: infer(server, name, [[n, 1]]), (1, -1, 2, -2, 3, -3)))
    assert [reply.status for reply in replies] == [200, 400] * 3
    assert replies[1].json() == {"error": "no negative numbers"}


def test_a_model_of_tensors_takes_the_same_body_at_mms_s_path(server: Server, add: Add) -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}
    reply = server.inference.post(
        f"/predictions/{add('model-class')}",
        json.dumps({"inputs": [tensor]}).encode(),
        headers={"Content-Type": "application/json"},
    )
    assert reply.status == 200, reply
    assert reply.json()["outputs"][0]["data"] == [2, 4]
