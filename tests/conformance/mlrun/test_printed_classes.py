"""Classes as MLRun's documentation prints them, served as they are; functions that are loaded at start."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from support.server import Server, ServerPool, manifest
from support.waiting import eventually

from .service import ask, predict

pytestmark = pytest.mark.better_than_mms

CLASSIFIER = '''
from cloudpickle import load
import numpy as np
import mlrun

class ClassifierModel(mlrun.serving.V2ModelServer):
    def load(self):
        """load and initialize the model and/or other elements"""
        model_file, extra_data = self.get_model('.pkl')
        self.model = load(open(model_file, 'rb'))

    def predict(self, body: dict) -> list:
        """Generate model predictions from sample"""
        feats = np.asarray(body['inputs'])
        result: np.ndarray = self.model.predict(feats)
        return result.tolist()
'''
#: All that the text below the class says that one may add.
FULL = (
    CLASSIFIER
    + """
class FullModel(ClassifierModel):
    def preprocess(self, request, operation):
        self.seen = [operation]
        return request

    def validate(self, request, operation):
        request = super().validate(request, operation)
        if any(len(row) != 4 for row in request["inputs"]):
            raise ValueError("a flower has four numbers")
        return request

    def explain(self, request):
        return {"importance": self.model.feature_importances_.tolist()}

    def postprocess(self, response):
        return {**response, "operations": self.seen}

    def op_classes(self, event):
        return self.context.Response(
            body=json.dumps(self.model.classes_.tolist()),
            content_type="application/json",
            headers={"X-Method": event.method},
        )
"""
).replace("import mlrun\n", "import json\nimport mlrun\n")


@pytest.fixture(scope="module")
def server(servers: ServerPool) -> Iterator[Server]:
    started = Server(servers.new_directory(), {"default_workers_per_model": "1"}).start()
    yield started
    started.stop()


#: Stands for the classifier that scikit-learn fits, whose import takes seconds: a class that is pickled with its code.
FITTED = """
import cloudpickle, numpy, sys

class Tree:
    classes_ = numpy.arange(3)
    feature_importances_ = numpy.array([0.25, 0.75])

    def predict(self, features):
        return features[:, 0].astype(int)

sys.stdout.buffer.write(cloudpickle.dumps(Tree()))
"""


@pytest.fixture(scope="module")
def url(server: Server) -> str:
    """A folder of the store with the classes and their file."""
    pytest.importorskip("cloudpickle", reason="cloudpickle is not installed")
    written = subprocess.run([sys.executable, "-c", FITTED], check=True, capture_output=True)
    url = server.write_model("printed", FULL, manifest("printed", "service:ClassifierModel"))
    (server.store / url / "model.pkl").write_bytes(written.stdout)
    return url


def test_the_printed_class_predicts_from_its_pickle(server: Server, url: str) -> None:
    with server.registered(url) as name:
        assert predict(server.inference, name, [[2, 0, 0, 0], [1, 0, 0, 0]]) == [2, 1]
        assert server.describe(name)["interface"] == "mlrun"
        reply = server.inference.get(f"/v2/models/{name}/ready")
        assert (reply.status, reply.text.partition(" (")[0]) == (200, f"Model {name} is ready")


def test_its_hooks_explanation_and_operation_are_asked(server: Server, url: str) -> None:
    with server.registered(url, handler="service:FullModel") as name:
        path = f"/v2/models/{name}"
        body = {"inputs": [[0, 1, 2, 3]] * 2}
        answer = ask(server.inference, f"{path}/infer", body).json()
        assert (answer["outputs"], answer["operations"]) == ([0, 0], ["infer"])
        reply = ask(server.inference, f"{path}/infer", {"inputs": [[1, 2]]})
        assert (reply.status, reply.text) == (400, "ValueError: a flower has four numbers")
        explained = ask(server.inference, f"{path}/explain", body).json()
        assert explained["outputs"]["importance"] == [0.25, 0.75]
        assert explained["operations"] == ["explain"]
        for method in ("GET", "POST", "PUT"):
            reply = server.inference.request(method, f"{path}/classes")
            assert (reply.json(), reply.header("X-Method")) == ([0, 1, 2], method)


# Functions that are there from the start

SPEC = {
    "function_uri": "default/tripler",
    "graph": {
        "kind": "router",
        "class_name": "mlrun.serving.VotingEnsemble",
        "class_args": {"vote_type": "regression"},
        "routes": {
            f"m{n}": {"class_name": "Mul", "class_args": {"model_path": "", "multiplier": n}}
            for n in (2, 4)
        },
    },
    "filename": "classes.py",
    "code": """
from mlrun.serving import V2ModelServer

class Mul(V2ModelServer):
    def load(self):
        pass

    def predict(self, request):
        return [x * self.get_param("multiplier") for x in request["inputs"]]
""",
}


def test_a_serving_spec_of_the_store_is_loaded_at_start(servers: ServerPool) -> None:
    folder = servers.new_directory()
    arguments = ["--model-store", str(folder / "store"), "--models", "tripler=tripler.json"]
    server = Server(folder, {"default_workers_per_model": "1"}, arguments=arguments)
    (server.store / "tripler.json").write_text(json.dumps(SPEC))
    server.start()
    try:
        eventually("it is ready", lambda: server.inference.get("/v2/health/ready").status == 200)
        assert predict(server.inference, "VotingEnsemble", [5]) == [15]
        assert predict(server.inference, "m4", [5]) == [20]
        models = server.management.get("/models").json()["models"]
        assert sorted(model["modelName"] for model in models) == ["m2", "m4", "tripler"]
        assert server.describe("tripler")["graph"]["class"] == "VotingEnsemble"
    finally:
        server.stop()
