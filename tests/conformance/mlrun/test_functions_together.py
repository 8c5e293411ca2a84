"""Functions side by side in one server: each one's paths stand after its name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.client import Reply
from support.server import Server, ServerPool, unique_name

pytestmark = pytest.mark.better_than_mms

CODE = '''
from mlrun.serving import ModelRouter, V2ModelServer


class Mul(V2ModelServer):
    def load(self):
        pass

    def predict(self, request):
        return [x * self.get_param("multiplier") for x in request["inputs"]]


class Path:
    def do_event(self, event):
        event.body = {"path": event.path}
        return event


class Guard(ModelRouter):
    def preprocess(self, event):
        if "secret" in event.path:
            raise PermissionError("this model is not for you")
        return event


class Give:
    """A step, which has nothing of a model."""

    def __init__(self, what):
        self.what = what

    def do(self, body):
        return {self.what: body["x"]}
'''


def mul(multiplier: int) -> dict[str, Any]:
    return {"class_name": "Mul", "class_args": {"model_path": "", "multiplier": multiplier}}


def ensemble(prefix: str, *multipliers: int) -> dict[str, Any]:
    return {
        "kind": "router",
        "class_name": "VotingEnsemble",
        "class_args": {"vote_type": "regression"},
        "routes": {f"{prefix}{number}": mul(number) for number in multipliers},
    }


GRAPHS: dict[str, dict[str, Any]] = {
    "flow": {
        "engine": "sync",
        "steps": {"path": {"kind": "task", "class_name": "Path", "after": []}},
    },
    "low": ensemble("low", 1, 3),
    "high": ensemble("high", 100, 300),
    "guard": {
        "kind": "router",
        "class_name": "Guard",
        "routes": {"open": mul(2), "secret": mul(3)},
    },
    "gifts": {
        "kind": "router",
        "class_name": "mlrun.serving.ParallelRun",
        "class_args": {"extend_event": True},
        "routes": {
            "a": {"class_name": "Give", "class_args": {"what": "a"}},
            "b": {"class_name": "Give", "class_args": {"what": "b"}},
        },
    },
}


def register(server: Server, name: str) -> None:
    document = {"graph": GRAPHS[name], "filename": "code.py", "code": CODE, "version": "v2"}
    reply = server.management.post_json(
        "/models",
        {"serving_spec": document, "model_name": name, "initial_workers": 1, "synchronous": True},
    )
    assert reply.status == 200, reply


@pytest.fixture(scope="module")
def server(servers: ServerPool) -> Iterator[Server]:
    started = Server(servers.new_directory()).start()
    for name in GRAPHS:
        register(started, name)
    yield started
    started.stop()


def ask(server: Server, path: str, body: Any) -> Reply:
    return server.inference.post_json(path, body)


def outputs(server: Server, path: str, **body: Any) -> Any:
    reply = ask(server, path, {"inputs": [1], **body})
    assert reply.status == 200, reply
    return reply.json()["outputs"]


@pytest.mark.parametrize(("name", "vote"), [("low", 2.0), ("high", 200.0)])
def test_ensembles_of_one_name_are_asked_by_that_of_their_function(
    server: Server, name: str, vote: float
) -> None:
    for path in ("", "/infer", "/v2/models/infer", "/v2/models/VotingEnsemble/infer"):
        assert outputs(server, f"/v2/models/{name}{path}") == [vote]


def test_models_of_a_function_are_found_below_its_name(server: Server) -> None:
    assert outputs(server, "/v2/models/high/v2/models/high300/infer") == [300]
    assert outputs(server, "/v2/models/guard/v2/models/open/infer") == [2]


def test_a_router_of_ones_own_is_not_passed_by_below_its_name(server: Server) -> None:
    reply = ask(server, "/v2/models/guard/v2/models/secret/infer", {"inputs": [1]})
    assert (reply.status, reply.text) == (400, "PermissionError: this model is not for you")


def test_a_flow_reads_the_path_after_its_name(server: Server) -> None:
    for path in ("/some/where", "/v2/models/m1/infer"):
        assert ask(server, f"/v2/models/flow{path}", {}).json() == {"path": path}


def test_routes_that_are_no_models_run_beside_their_router(server: Server) -> None:
    reply = ask(server, "/v2/models/gifts", {"x": 5})
    assert reply.json() == {"x": 5, "a": 5, "b": 5}
    assert server.management.get("/models/a").status == 404


def test_a_folder_of_the_store_may_have_a_serving_spec_beside_its_code(server: Server) -> None:
    name = unique_name("folder")
    folder = server.store / server.write_model(name, CODE)
    graph = {"kind": "router", "routes": {"beside": mul(5)}}
    (folder / "serving_spec.json").write_text(json.dumps({"graph": graph}), encoding="utf-8")
    reply = server.register(name, initial_workers=1)
    assert reply.status == 200, reply
    try:
        assert outputs(server, "/v2/models/beside/infer") == [5]
    finally:
        server.unregister(name)


def test_a_class_that_the_functions_code_imports_is_a_route_of_the_kind_that_it_is(
    server: Server,
) -> None:
    name = unique_name("importing")
    folder = server.store / server.write_model(name, "from others import Give, Mul\n")
    (folder / "others.py").write_text(CODE, encoding="utf-8")
    graph = {
        "kind": "router",
        "class_name": "mlrun.serving.ParallelRun",
        "class_args": {"extend_event": True},
        "routes": {
            "given": {"class_name": "Give", "class_args": {"what": "given"}},
            "dotted": {"class_name": "others.Give", "class_args": {"what": "dotted"}},
        },
    }
    (folder / "serving_spec.json").write_text(json.dumps({"graph": graph}), encoding="utf-8")
    reply = server.register(name, initial_workers=1)
    assert reply.status == 200, reply
    try:
        answer = ask(server, f"/v2/models/{name}", {"x": 5}).json()
        assert answer == {"x": 5, "given": 5, "dotted": 5}
    finally:
        server.unregister(name)
