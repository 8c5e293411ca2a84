from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from example_server import ROOT, ExampleServer, pack, run, serving

pytest.importorskip("onnxruntime", reason="the model is run by onnxruntime")

IRISES = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleServer]:
    folder = tmp_path_factory.mktemp("open-iris")
    built = folder / "model"
    run("python", "examples/open_inference_iris/train.py", "--model-dir", str(built))
    pack("iris", built, folder / "store", "--handler", "iris_model:Model")
    (built / "model-config.yaml").unlink()
    (built / "iris_model.py").unlink()
    pack("saved", built, folder / "store", "--prepackaged", "onnx")
    with serving(folder / "store", "--models", "iris=iris.mar", "saved=saved.mar") as started:
        yield started


def test_the_irises_of_the_readme_are_named(server: ExampleServer) -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": [2, 4], "data": IRISES}
    answer = server.post_json("/v2/models/iris/infer", {"inputs": [tensor]})
    probabilities, names = answer["outputs"]
    assert (probabilities["datatype"], probabilities["shape"]) == ("FP32", [2, 3])
    assert (names["name"], names["data"]) == ("name", ["setosa", "virginica"])
    assert server.describe("iris")["interface"] == "oip"


def test_the_file_alone_declares_its_tensors_and_answers(server: ExampleServer) -> None:
    metadata = server.get("/v2/models/saved").json()
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
    assert [each["name"] for each in metadata["outputs"]] == ["probabilities", "species"]
    tensor = {"name": "x", "datatype": "FP32", "shape": [2, 4], "data": IRISES}
    outputs = [{"name": "species"}]
    answer = server.post_json("/v2/models/saved/infer", {"inputs": [tensor], "outputs": outputs})
    (species,) = answer["outputs"]
    assert (species["datatype"], species["data"]) == ("INT64", [0, 2])


def test_a_wrong_request_is_refused_as_the_readme_says(server: ExampleServer) -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": [2, 3], "data": [0.0] * 6}
    reply = server.post("/v2/models/iris/infer", json.dumps({"inputs": [tensor]}).encode())
    assert reply.status == 400
    readme = Path(ROOT, "examples/open_inference_iris/README.md").read_text(encoding="utf-8")
    assert reply.json()["error"] in " ".join(readme.split())
