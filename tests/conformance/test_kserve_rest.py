"""What KServe's first protocol, which is TensorFlow Serving's, promises to its clients, black box."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.client import Reply
from support.server import Server, manifest

pytestmark = [pytest.mark.edge, pytest.mark.better_than_mms]

HANDLER = """
import numpy as np

def handle(data, context):
    return [answer(item) for item in data or ()]

def answer(item):
    rows = item["body"]["instances"]
    if item.get("explain"):
        return {"explanations": ["because"] * len(rows)} if "deaf" not in item["body"] else rows
    if rows == ["whole"]:
        return {"predictions": rows, "model": "m"}
    if rows == ["tensors"]:
        return {"a": np.array([1, 2]), "b": np.array([[1.5], [2.5]], np.float32)}
    return rows
"""
CLASS = """
class Model:
    max_batch_size = 8

    def predict(self, inputs, parameters):
        return {"y": inputs["x"] * 2}

    def explain(self, inputs, parameters):
        return {"y": inputs["x"] * 0}
"""
DECLARED = """
oip:
  inputs: [{name: x, datatype: FP32, shape: [-1, 2]}]
  outputs: [{name: y, datatype: FP32, shape: [-1, 2]}]
  max_batch_size: 8
"""
COMPONENT = """
class Sums:
    def predict(self, X, names, meta=None):
        if not len(names):
            return X.sum(axis=1)
        return [[name, float(value)] for name, value in zip(names, X[0])]
"""
MLRUN = """
from mlrun.serving import V2ModelServer

class Notes(V2ModelServer):
    def load(self):
        pass

    def predict(self, request):
        return [{"row": row} for row in request["inputs"]]

    def explain(self, request):
        return [len(request["inputs"])]
"""


def write(server: Server, name: str, source: str, **files: str) -> None:
    if (server.store / name).exists():
        return
    server.write_model(name, source, manifest(name, **_HANDLERS.get(name, {})))
    for file, text in files.items():
        Path(server.store / name / file.replace("_", "-")).with_suffix(".yaml").write_text(text)


_HANDLERS: dict[str, dict[str, str]] = {
    "v1-class": {"handler": "service:Model"},
    "v1-component": {"handler": "service:Sums"},
    "v1-mlrun": {"handler": "service:Notes"},
}


class Models:
    """A server, and the names by which it has the models of this file."""

    def __init__(self, server: Server, names: dict[str, str]) -> None:
        self.inference = server.inference
        self.names = names


@pytest.fixture
def models(server: Server) -> Models:
    write(server, "v1-plain", HANDLER)
    write(server, "v1-class", CLASS, model_config=DECLARED)
    write(server, "v1-component", COMPONENT)
    names = ("v1-plain", "v1-class", "v1-component")
    return Models(server, {name: server.shared(name) for name in names})


@pytest.fixture
def with_mlrun(server: Server, models: Models) -> Iterator[Models]:
    """Also one of MLRun, which takes the root of its server as long as it is there."""
    write(server, "v1-mlrun", MLRUN)
    with server.registered("v1-mlrun") as name:
        yield Models(server, {**models.names, "v1-mlrun": name})


def ask(models: Models, path: str, instances: Any, **more: Any) -> Reply:
    name, _, verb = path.partition(":")
    path = f"/v1/models/{models.names.get(name, name)}:{verb}"
    return models.inference.post_json(path, {"instances": instances, **more})


def predictions(reply: Reply) -> Any:
    assert (reply.status, reply.header("content-type")) == (200, "application/json"), reply
    document = reply.json()
    assert list(document) == ["predictions"]
    return document["predictions"]


def error_of(reply: Reply, status: int) -> str:
    assert reply.status == status, reply
    document = reply.json()
    assert list(document) == ["error"]
    return str(document["error"])


def test_a_handler_reads_the_json_itself_and_what_it_returns_are_the_predictions(
    models: Models,
) -> None:
    rows = [{"a": 1}, "x", [1, [2.5]], None]
    assert predictions(ask(models, "v1-plain:predict", rows)) == rows
    whole = ask(models, "v1-plain:predict", ["whole"]).json()
    assert whole == {"predictions": ["whole"], "model": "m"}
    found = predictions(ask(models, "v1-plain:predict", ["tensors"]))
    assert found == [{"a": 1, "b": [1.5]}, {"a": 2, "b": [2.5]}]


def test_rows_are_the_declared_tensor_of_a_model_by_position_or_by_name(models: Models) -> None:
    for rows in ([[1, 2], [3, 4.5]], [{"x": [1, 2]}, {"x": [3, 4.5]}]):
        assert predictions(ask(models, "v1-class:predict", rows)) == [[2.0, 4.0], [6.0, 9.0]]
    assert "x" in error_of(ask(models, "v1-class:predict", [{"z": [1, 2]}]), 400)
    assert "[-1, 2]" in error_of(ask(models, "v1-class:predict", [[1, 2, 3]]), 400)


def test_rows_are_x_of_a_component_and_names_of_rows_its_columns(models: Models) -> None:
    assert predictions(ask(models, "v1-component:predict", [[1, 2], [3, 4]])) == [3, 7]
    found = predictions(ask(models, "v1-component:predict", [{"a": 1, "b": 2}]))
    assert found == [["a", 1.0], ["b", 2.0]]


def test_a_model_of_mlrun_gets_the_rows_as_inputs_and_answers_in_any_json(
    with_mlrun: Models,
) -> None:
    assert predictions(ask(with_mlrun, "v1-mlrun:predict", [[1, 2], "x"])) == [
        {"row": [1, 2]},
        {"row": "x"},
    ]


def test_explanations_come_from_models_that_have_them(with_mlrun: Models) -> None:
    models = with_mlrun
    assert ask(models, "v1-plain:explain", [1]).json() == {"explanations": ["because"]}
    assert ask(models, "v1-mlrun:explain", [1, 2]).json() == {"explanations": [2]}
    assert ask(models, "v1-class:explain", [[1, 2]]).json() == {"explanations": [[0.0, 0.0]]}
    assert "explanations" in error_of(ask(models, "v1-component:explain", [[1]]), 501)
    assert "explanations" in error_of(ask(models, "v1-plain:explain", [1], deaf=1), 501)


def test_models_are_listed_and_say_whether_they_are_ready(models: Models) -> None:
    name = models.names["v1-class"]
    assert name in models.inference.get("/v1/models").json()["models"]
    reply = models.inference.get(f"/v1/models/{name}")
    assert (reply.status, reply.json()) == (200, {"name": name, "ready": True})
    assert "nobody" in error_of(models.inference.get("/v1/models/nobody"), 404)
    assert "nobody" in error_of(ask(models, "nobody:predict", [1]), 404)
    reply = models.inference.get(f"/v1/models/{name}:predict")
    assert (reply.status, reply.header("allow")) == (405, "POST")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "not JSON"),
        (b"[1]", "instances"),
        (b"{}", "instances"),
        (b'{"instances": 1}', "instances"),
        (b'{"instances": [[1], [1, 2]]}', "unequal length"),
        (b'{"instances": [[1, "a"]]}', "texts"),
        (b'{"instances": [{"x": [1, 2]}, {"y": [1, 2]}]}', "names"),
        (b'{"instances": [' + b"[" * 900 + b"1" + b"]" * 900 + b"]}", "levels"),
        (b'{"instances": [{"b64": "?"}]}', "base64"),
        (b'{"instances": [[1e99, 1]]}', "FP32"),
    ],
)
def test_what_is_wrong_with_a_request_is_named(models: Models, body: bytes, words: str) -> None:
    reply = models.inference.post(f"/v1/models/{models.names['v1-class']}:predict", body)
    assert words in error_of(reply, 400)


def test_a_handler_that_reads_json_gets_requests_that_are_no_tensors_and_a_component_does_not(
    models: Models,
) -> None:
    assert json.loads(ask(models, "v1-plain:predict", [[1], [1, 2]]).body)
    assert "unequal" in error_of(ask(models, "v1-component:predict", [[1], [1, 2]]), 400)
