"""Serving specs over HTTP: their models are models of the server, their routers are answered by its front."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.client import Reply
from support.server import Server, ServerPool, unique_name

from .service import R4, ask, predict

pytestmark = pytest.mark.better_than_mms

CODE = """
import os, threading, time
from mlrun.serving import V2ModelServer, ModelRouter

class MulEach(V2ModelServer):
    def load(self):
        if self.get_param("fails_to_load", False):
            raise RuntimeError("no weights")
    def predict(self, request):
        if self.get_param("meets", 0):
            self._meet(self.get_param("meets"))
        if self.get_param("raises", False):
            raise ValueError("this model never predicts")
        return {"predictions": [x * self.get_param("multiplier") for x in request["inputs"]]}
    def _meet(self, count):
        # Until so many models are in the middle of a prediction.
        folder = self.get_param("folder")
        open(os.path.join(folder, self.name), "w").close()
        ends_at = time.monotonic() + 30
        while len(os.listdir(folder)) < count:
            if time.monotonic() > ends_at:
                raise TimeoutError("the others have not begun")
            time.sleep(0.005)

class Const(V2ModelServer):
    def load(self):
        pass
    def predict(self, request):
        return [self.get_param("predict") for _ in request["inputs"]]

class Plain(V2ModelServer):
    def load(self):
        pass
    def do_event(self, event, *args):
        event.body = {self.name: event.body["x"] * self.get_param("multiplier")}
        return event
    def predict(self, request):
        pass

class Upper(ModelRouter):
    def postprocess(self, event):
        event.body["by"] = "Upper"
        return event

def double(x):
    return {"inputs": [2 * value for value in x["inputs"]]}
"""


def route(class_name: str, **class_args: Any) -> dict[str, Any]:
    return {"class_name": class_name, "class_args": {"model_path": "", **class_args}}


MUL_EACH = {key: route("MulEach", multiplier=factor) for key, factor in R4.items()}
CONST = {key: route("Const", predict=number) for number, key in enumerate(R4, 1)}


def spec(
    routes: dict[str, Any], class_name: str | None = None, **class_args: Any
) -> dict[str, Any]:
    graph: dict[str, Any] = {"kind": "router", "routes": routes}
    if class_name is not None:
        graph |= {"class_name": class_name, "class_args": class_args}
    return {
        "function_uri": f"default/{unique_name('function')}",
        "version": "v2",
        "graph": graph,
        "filename": "classes.py",
        "code": CODE,
    }


class Function:
    """A serving function that is registered."""

    def __init__(self, server: Server, document: dict[str, Any], **options: Any) -> None:
        self.server = server
        self.client = server.inference
        self.reply = server.management.post_json(
            "/models",
            {
                name: value
                for name, value in {
                    "serving_spec": document,
                    "initial_workers": 1,
                    **options,
                }.items()
                if value is not None
            },
        )
        self.name = options.get("model_name") or document["function_uri"].partition("/")[2]

    def remove(self) -> Reply:
        return self.server.unregister(self.name)


@pytest.fixture(scope="module")
def server(servers: ServerPool) -> Iterator[Server]:
    started = Server(servers.new_directory(), {"default_workers_per_model": "1"}).start()
    yield started
    started.stop()


class Serving:
    """Serves one function at a time, at the root. It stays for the next test that asks for the same one."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._function: Function | None = None
        self._key: object = None

    def __call__(self, document: dict[str, Any], **options: Any) -> Function:
        key = ({**document, "function_uri": ""}, options)
        if self._function is None or self._key != key:
            self.end()
            self._function, self._key = Function(self._server, document, **options), key
            assert self._function.reply.status == 200, self._function.reply
        return self._function

    def end(self) -> None:
        if self._function is not None:
            self._function.remove()
            self._function = None


@pytest.fixture(scope="module")
def serving(server: Server) -> Serving:
    return Serving(server)


@pytest.fixture
def serve(serving: Serving) -> Serving:
    return serving


@pytest.fixture
def idle_server(serving: Serving, server: Server) -> Server:
    """Has no function."""
    serving.end()
    return server


def refused(server: Server, document: dict[str, Any]) -> str:
    """The text of a refusal; nothing of the function may stay."""
    reply = Function(server, document).reply
    assert reply.status >= 400, reply
    assert server.management.get("/models").json()["models"] == []
    return str(reply.json()["message"])


# Routers of models


def test_each_model_of_a_router_is_a_model_of_the_server(serve: Serving, server: Server) -> None:
    function = serve(spec(MUL_EACH))
    assert ask(function.client, "/v2/models/").json() == {"models": list(R4)}
    for key, factor in R4.items():
        path = key.replace(":", "/versions/")
        assert predict(function.client, path, [5]) == {"predictions": [5 * factor]}
    described = server.describe("m1")
    assert described["workers"][0]["status"] == "READY"
    assert described["handler"] == "classes:MulEach"


def test_a_body_names_the_model_of_a_router_and_its_first_one_is_the_default(
    serve: Serving,
) -> None:
    client = serve(spec(MUL_EACH)).client
    for body, factor in (({"model": "m3:v2"}, 400), ({}, 100)):
        reply = ask(client, "/", {**body, "inputs": [5]})
        assert reply.json()["outputs"] == {"predictions": [5 * factor]}


def test_a_router_that_is_no_ensemble_does_not_speak_of_one(serve: Serving) -> None:
    function = serve(spec(MUL_EACH))
    for reply in (
        ask(function.client, "/v2/models/m4"),
        ask(function.client, "/", {"model": "m4", "inputs": [5]}),
    ):
        assert reply.text.startswith("ValueError: model m4 doesnt exist, available models: m1")
        assert "ensemble" not in reply.text


def test_the_models_of_a_function_are_unregistered_with_it_and_not_alone(
    serve: Serving, server: Server
) -> None:
    function = serve(spec(MUL_EACH))
    reply = server.unregister("m1")
    assert reply.status == 409
    assert function.name in reply.text
    assert function.remove().status == 200
    assert server.management.get("/models/m1").status == 404
    assert server.management.get("/models").json()["models"] == []
    serve.end()


def test_an_exported_function_is_served_from_a_file_in_yaml(idle_server: Server) -> None:
    document = {
        "kind": "serving",
        "metadata": {"name": "exported", "project": "iris"},
        "spec": {
            "graph": {"kind": "router", "routes": {"m1": MUL_EACH["m1"]}},
            "build": {"functionSourceCode": base64.b64encode(CODE.encode()).decode()},
        },
    }
    # JSON is YAML.
    (idle_server.store / "exported.yaml").write_text(" " + json.dumps(document, indent=1))
    reply = idle_server.register("exported.yaml", initial_workers=1, synchronous="true")
    assert reply.status == 200, reply
    try:
        assert predict(idle_server.inference, "m1", [5]) == {"predictions": [500]}
        assert idle_server.describe("exported")["graph"]["class"] == "ModelRouter"
    finally:
        idle_server.unregister("exported")


# Ensembles


REGRESSORS = spec(
    MUL_EACH,
    "mlrun.serving.routers.VotingEnsemble",
    # As in MLRun, a router that is the whole graph is asked by its class whatever its name.
    name="vote",
    vote_type="regression",
    weights=dict.fromkeys(R4, 1),
    prediction_col_name="predictions",
    format_response_with_col_name_flag=True,
)


def test_an_ensemble_of_regressors_answers_the_mean(serve: Serving, server: Server) -> None:
    client = serve(REGRESSORS).client
    for path in ("/v2/models/VotingEnsemble/infer", "/v2/models/infer", "/"):
        answer = ask(client, path, {"inputs": [5, 5], "id": "mine"}).json()
        assert answer == {
            "id": "mine",
            "model_name": "VotingEnsemble",
            "outputs": {"predictions": [1250.0, 1250.0]},
            "model_version": "v1",
        }
    assert ask(client, "/v2/models/vote/infer", {"inputs": [5]}).status == 400
    server.wait_for_log("mms_log.log", "name=vote of the function's router has no effect")


def test_an_ensemble_and_its_models_tell_of_themselves(serve: Serving) -> None:
    client = serve(REGRESSORS).client
    listing = ask(client, "/v2/models/").json()
    assert listing == {"models": [*R4, "VotingEnsemble"], "weights": dict.fromkeys(R4, 1)}
    for path, name, version in (
        ("m1", "m1", ""),
        ("m3/versions/v2", "m3", "v2"),
        ("VotingEnsemble", "VotingEnsemble", "v1"),
    ):
        told = ask(client, f"/v2/models/{path}").json()
        assert told == {"name": name, "version": version, "inputs": [], "outputs": []}
    ready = ask(client, "/v2/models/VotingEnsemble/ready")
    assert (ready.status, ready.text.partition(" (")[0]) == (200, "Model VotingEnsemble is ready")


def test_the_models_of_an_ensemble_answer_for_themselves(serve: Serving) -> None:
    client = serve(REGRESSORS).client
    for key, factor in R4.items():
        path = key.replace(":", "/versions/")
        assert predict(client, path, [5, 6]) == {"predictions": [5 * factor, 6 * factor]}
    reply = ask(client, "/v2/models/m4")
    known = " | ".join([*R4, "VotingEnsemble or an operation alone for ensemble operation"])
    assert (reply.status, reply.text) == (
        400,
        f"ValueError: model m4 doesnt exist, available models: {known}",
    )


@pytest.mark.parametrize(
    ("class_args", "vote"),
    [
        ({"executor_type": "process"}, 1),
        ({"weights": {"m1": 0.1, "m2": 0.2, "m3:v1": 0.3, "m3:v2": 0.4}}, 4),
    ],
    ids=["a tie goes to the lowest", "by weights"],
)
def test_an_ensemble_of_classifiers_votes(
    serve: Serving, class_args: dict[str, Any], vote: int
) -> None:
    client = serve(spec(CONST, "mlrun.serving.VotingEnsemble", **class_args)).client
    assert predict(client, "VotingEnsemble", [5, 6]) == [vote, vote]
    for body, text in (
        ({}, 'Exception: Expected key "inputs" in request body'),
        ({"inputs": 5}, 'Exception: Expected "inputs" to be a list'),
    ):
        reply = ask(client, "/v2/models/infer", body)
        assert (reply.status, reply.text) == (400, text)


def test_a_function_without_models_is_refused_as_what_it_is(idle_server: Server) -> None:
    document = {
        "kind": "serving",
        "function_uri": "default/hub",
        "metadata": {"name": "hub"},
        "spec": {"image": "mlrun/mlrun"},
    }
    assert "serving_spec is a function without models" in refused(idle_server, document)
    (idle_server.store / "hub.json").write_text(json.dumps(document), encoding="utf-8")
    reply = idle_server.register("hub.json")
    assert (reply.status, reply.json()["message"].partition(":")[0]) == (
        400,
        "hub.json is a function without models",
    )


def test_replicas_of_a_function_are_the_workers_of_its_models(
    serve: Serving, server: Server
) -> None:
    routes = {"replicated": route("MulEach", multiplier=2)}
    document = spec(routes) | {"replicas": 2, "max_replicas": 7, "readiness_timeout": 90}
    serve(document, initial_workers=None)
    described = server.describe("replicated")
    assert (described["minWorkers"], described["loadTimeout"]) == (2, 90)
    server.wait_for_log("mms_log.log", "max_replicas=7 has no effect here")


def test_a_model_that_fails_is_named_and_the_others_vote(serve: Serving) -> None:
    routes = {
        "good": route("MulEach", multiplier=2),
        "bad": route("MulEach", multiplier=2, raises=True),
    }
    client = serve(
        spec(routes, "mlrun.serving.VotingEnsemble", prediction_col_name="predictions")
    ).client
    answer = ask(client, "/v2/models/infer", {"inputs": [4]}).json()
    assert answer["outputs"] == [8]
    assert answer["failed"] == {"bad": "ValueError: this model never predicts"}


def test_the_models_of_an_ensemble_run_side_by_side(serve: Serving, scratch: Path) -> None:
    meeting = {"meets": 2, "folder": str(scratch)}
    routes = {f"s{n}": route("MulEach", multiplier=1, **meeting) for n in range(2)}
    client = serve(
        spec(routes, "mlrun.serving.VotingEnsemble", prediction_col_name="predictions")
    ).client
    assert ask(client, "/v2/models/infer", {"inputs": [1]}).status == 200


def test_answers_of_models_that_run_in_parallel_become_one(serve: Serving) -> None:
    routes = {"a": route("Plain", multiplier=2), "b": route("Plain", multiplier=3)}
    client = serve(spec(routes, "mlrun.serving.ParallelRun", extend_event=True)).client
    assert ask(client, "/", {"x": 8}).json() == {"x": 8, "a": 16, "b": 24}


# Traffic


def test_a_canary_gets_its_share(serve: Serving) -> None:
    routes = {"stable": route("Const", predict=0), "next": route("Const", predict=1)}
    weights = {"stable": 80, "next": 20}
    client = serve(spec(routes, "mlrun.serving.CanaryRouter", weights=weights, seed=7)).client
    taken = Counter(predict(client, "CanaryRouter", [1])[0] for _ in range(100))
    assert 8 <= taken[1] <= 35, taken
    assert ask(client, "/v2/models/").json()["weights"] == weights


def test_a_bandit_learns_from_rewards(serve: Serving, server: Server) -> None:
    routes = {"a": route("Const", predict=0), "b": route("Const", predict=1)}
    function = serve(spec(routes, "mlrun.serving.BanditRouter", epsilon=0.0, seed=3))
    client = function.client
    for arm, reward in (("a", 0), ("b", 1)):
        reply = ask(client, "/v2/models/BanditRouter/reward", {"model": arm, "reward": reward})
        assert reply.status == 200, reply
    assert {predict(client, "BanditRouter", [1])[0] for _ in range(10)} == {1}
    asked = ask(client, "/v2/models/infer", {"inputs": [1], "id": "r1"}).json()
    rewarded = ask(
        client, "/v2/models/BanditRouter/reward", {"id": asked["id"], "reward": 1}
    ).json()
    assert rewarded["model"] == "b"
    again = ask(client, "/v2/models/BanditRouter/reward", {"id": "r1", "reward": 1})
    assert (again.status, again.text.partition(":")[0]) == (400, "ValueError")
    assert server.describe(function.name)["graph"]["arms"]["b"]["rewards"] == 2


# In workers


def test_a_router_of_the_users_own_asks_models_of_the_server(serve: Serving) -> None:
    function = serve(spec({"m2": MUL_EACH["m2"]}, "Upper"))
    answer = ask(function.client, "/v2/models/m2/infer", {"inputs": [5]}).json()
    assert (answer["outputs"], answer["by"]) == ({"predictions": [1000]}, "Upper")


def test_a_flow_runs_in_a_worker_and_its_models_in_theirs(serve: Serving, server: Server) -> None:
    document = spec({})
    document["graph"] = {
        "engine": "sync",
        "steps": {
            "double": {"kind": "task", "handler": "double"},
            "router": {
                "kind": "router",
                "after": ["double"],
                "routes": {"m2": MUL_EACH["m2"]},
            },
        },
    }
    function = serve(document)
    answer = ask(function.client, "/v2/models/m2/infer", {"inputs": [5]}).json()
    assert answer["outputs"] == {"predictions": [2000]}
    assert (
        server.describe("m2")["workers"][0]["pid"]
        != server.describe(function.name)["workers"][0]["pid"]
    )


# What a function has besides its graph


def test_a_function_s_initializer_runs_in_the_processes_of_its_models(serve: Serving) -> None:
    code = (
        CODE
        + """
def start(server):
    server.context.offset = server.parameters["offset"]

class Shifted(V2ModelServer):
    def load(self):
        self.model = self.context.offset
    def predict(self, request):
        return [x + self.model for x in request["inputs"]]
"""
    )
    document = spec({"s1": route("Shifted"), "s2": route("Shifted")}, "VotingEnsemble")
    document |= {"code": code, "graph_initializer": "start", "parameters": {"offset": 7}}
    client = serve(document).client
    assert predict(client, "s1", [1, 2]) == [8, 9]
    assert predict(client, "VotingEnsemble", [1, 2]) == [8, 9]


def test_a_function_says_what_bodies_without_a_content_type_are(serve: Serving) -> None:
    document = spec({"m1": CONST["m1"]}) | {"default_content_type": "application/json"}
    reply = serve(document).client.post("/v2/models/m1/infer", b"xx [1,2]", content_type=None)
    assert (reply.status, reply.text.partition(",")[0]) == (400, "failed to json decode event")


# Refusals


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (spec({"m1": route("Nobody")}), "Step m1: class Nobody was not found"),
        (spec({"m1": route("classes.Nobody")}), "module classes has no class Nobody"),
        (spec({"m1": route("MulEach")}, "mlrun.serving.Nobody"), "no class mlrun.serving.Nobody"),
        (spec({}), "The router has no models"),
        (spec(CONST) | {"graph_initializer": "nobody"}, "graph_initializer nobody was not found"),
        (
            spec(CONST, "mlrun.serving.VotingEnsemble", weights={"m9": 1}),
            "name models that it does not have: m9",
        ),
        (
            spec(CONST, "mlrun.serving.VotingEnsemble", vote_type="loudest"),
            "vote_type is 'loudest'",
        ),
        (
            spec({})
            | {
                "graph": {
                    "steps": {
                        "a": {"handler": "double", "after": ["b"]},
                        "b": {"handler": "double", "after": ["a"]},
                    }
                }
            },
            "the flow goes in a circle: ",
        ),
        (
            spec({}) | {"graph": {"steps": {"a": {"handler": "double", "after": ["nobody"]}}}},
            "is to come after nobody",
        ),
    ],
)
def test_a_function_that_cannot_be_is_refused_by_name(
    idle_server: Server, document: dict[str, Any], told: str
) -> None:
    assert told in refused(idle_server, document)


def test_a_model_that_does_not_load_takes_its_function_back(idle_server: Server) -> None:
    routes = {"good": route("Const", predict=1), "bad": route("MulEach", fails_to_load=True)}
    told = refused(idle_server, spec(routes))
    assert "Model bad of " in told
    assert idle_server.management.get("/models/good").status == 404


def test_a_document_of_no_function_is_refused(server: Server) -> None:
    reply = server.management.post_json("/models", {"serving_spec": {"graph": 5}})
    assert reply.status == 400
    assert "not an exported function" in reply.text
