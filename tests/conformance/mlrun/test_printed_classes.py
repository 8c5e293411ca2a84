"""Classes as MLRun's documentation prints them, served as they are; functions that are loaded at start."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.processes import archiver_command, run_command
from support.server import Server, ServerPool
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
def flowers() -> Any:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    from sklearn.datasets import load_iris

    return load_iris()


@pytest.fixture(scope="module")
def weights(flowers: Any) -> bytes:
    cloudpickle = pytest.importorskip("cloudpickle", reason="cloudpickle is not installed")
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(random_state=0).fit(flowers["data"], flowers["target"])
    written: bytes = cloudpickle.dumps(tree)
    return written


@pytest.fixture(scope="module")
def server(servers: ServerPool) -> Iterator[Server]:
    started = Server(servers.new_directory(), {"default_workers_per_model": "1"}).start()
    yield started
    started.stop()


@pytest.fixture
def packed(server: Server, tmp_path: Path, weights: bytes) -> Any:
    """Packs a class of a source with the weights; the archive's url."""

    def pack(source: str, class_name: str) -> str:
        folder = tmp_path / class_name
        folder.mkdir()
        (folder / "classifier.py").write_text(source)
        (folder / "model.pkl").write_bytes(weights)
        words = [archiver_command(), "--model-name", class_name, "--model-path", str(folder)]
        words += ["--handler", f"classifier:{class_name}", "--export-path", str(server.store)]
        finished = run_command([*words, "--force"], tmp_path)
        assert finished.returncode == 0, finished.stderr
        return f"{class_name}.mar"

    return pack


def test_the_printed_class_predicts_from_its_pickle(
    server: Server, packed: Any, flowers: Any
) -> None:
    with server.registered(packed(CLASSIFIER, "ClassifierModel")) as name:
        outputs = predict(server.inference, name, flowers["data"].tolist())
        assert outputs == flowers["target"].tolist()
        assert server.describe(name)["interface"] == "mlrun"
        reply = server.inference.get(f"/v2/models/{name}/ready")
        assert (reply.status, reply.text.partition(" (")[0]) == (200, f"Model {name} is ready")


def test_its_hooks_explanation_and_operation_are_asked(
    server: Server, packed: Any, flowers: Any
) -> None:
    with server.registered(packed(FULL, "FullModel")) as name:
        path = f"/v2/models/{name}"
        body = {"inputs": flowers["data"][:2].tolist()}
        answer = ask(server.inference, f"{path}/infer", body).json()
        assert (answer["outputs"], answer["operations"]) == ([0, 0], ["infer"])
        reply = ask(server.inference, f"{path}/infer", {"inputs": [[1, 2]]})
        assert (reply.status, reply.text) == (400, "ValueError: a flower has four numbers")
        explained = ask(server.inference, f"{path}/explain", body).json()
        assert sum(explained["outputs"]["importance"]) == pytest.approx(1)
        assert explained["operations"] == ["explain"]
        for method in ("GET", "POST", "PUT"):
            reply = server.inference.request(method, f"{path}/classes")
            assert (reply.json(), reply.header("X-Method")) == ([0, 1, 2], method)


def test_it_loads_beside_requests_where_that_is_asked_for(
    server: Server, packed: Any, flowers: Any
) -> None:
    url = packed(CLASSIFIER, "ClassifierModel")
    with server.registered(url, load_mode="async") as name:
        path = f"/v2/models/{name}/ready"
        eventually("it is ready", lambda: server.inference.get(path).status == 200, 30.0)
        assert predict(server.inference, name, flowers["data"][:1].tolist()) == [0]


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


@pytest.mark.parametrize("is_argument", [False, True], ids=["load_models", "--models"])
def test_a_serving_spec_of_the_store_is_loaded_at_start(
    servers: ServerPool, is_argument: bool
) -> None:
    named = "tripler=tripler.json"
    settings = {"default_workers_per_model": "1"}
    if not is_argument:
        settings["load_models"] = named
    folder = servers.new_directory()
    store = str(folder / "store")
    arguments = ["--model-store", store, "--models", named] if is_argument else []
    server = Server(folder, settings, arguments=arguments)
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
