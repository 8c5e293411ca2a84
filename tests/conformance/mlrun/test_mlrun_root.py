"""Flows and routers that have the root of a server, as a function of MLRun's has it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.server import Server, ServerPool, by_lane, manifest
from support.waiting import eventually

from .service import ask

pytestmark = pytest.mark.better_than_mms

CODE = '''
from mms.interfaces.mlrun import V2ModelServer
from mms.interfaces.mlrun.routers.router import ModelRouter


class Mul(V2ModelServer):
    def load(self):
        pass

    def predict(self, request):
        return request["inputs"][0] * self.get_param("multiplier")


class Path:
    """Tells what it was asked."""

    def do_event(self, event):
        event.body = {"path": event.path, "method": event.method}
        return event


class Guard(ModelRouter):
    """Lets nobody ask the second model."""

    def preprocess(self, event):
        if "m2" in event.path:
            raise PermissionError("m2 is not for you")
        return event
'''

StartFunction = Callable[[dict[str, Any]], Server]


def routes() -> dict[str, Any]:
    return {
        key: {"class_name": "Mul", "class_args": {"multiplier": multiplier, "model_path": ""}}
        for key, multiplier in (("m1", 100), ("m2", 200))
    }


@pytest.fixture(scope="module")
def of_lane(servers: ServerPool) -> Iterator[Callable[[str], Server]]:
    yield from by_lane(servers, lambda folder, lane: Server(folder, {"lane": lane}))


@pytest.fixture
def start_function(of_lane: Callable[[str], Server], lane: str) -> Iterator[StartFunction]:
    """A server with one function, of a graph, until the test ends."""
    server = of_lane(lane)

    def start(graph: dict[str, Any]) -> Server:
        document = {"graph": graph, "filename": "code.py", "code": CODE, "version": "v2"}
        reply = server.management.post_json(
            "/models",
            {"serving_spec": document, "model_name": "function", "initial_workers": 1}
            | {"synchronous": True},
        )
        assert reply.status == 200, reply
        eventually("all is ready", lambda: server.inference.get("/v2/health/ready").status == 200)
        return server

    yield start
    server.unregister("function")


@pytest.mark.edge
def test_a_model_in_a_flow_without_a_router_is_asked_at_the_root(
    start_function: StartFunction,
) -> None:
    step = {"kind": "task", "class_name": "Mul", "class_args": {"multiplier": 100}}
    graph = {"engine": "sync", "steps": {"my2": {**step, "responder": True}}}
    server = start_function(graph)
    assert server.inference.get("/").json()["name"] == "my2"
    assert server.inference.get("/ready").status == 200
    assert ask(server.inference, "/", {"inputs": [5]}).json()["outputs"] == 500
    assert ask(server.inference, "/explain", {"inputs": [5]}).status == 400
    assert server.inference.get("/ping").json() == {"status": "Healthy"}


@pytest.mark.edge
def test_a_flow_reads_the_path_and_method_of_what_it_is_asked(
    start_function: StartFunction,
) -> None:
    graph = {"engine": "sync", "steps": {"tell": {"kind": "task", "class_name": "Path"}}}
    server = start_function(graph)
    for probe in ("livez", "readyz", "startupz"):
        assert set(server.inference.get(f"/{probe}").json()) == {"status"}
    for method, path in (("POST", "/"), ("PUT", "/any/where"), ("GET", "/v2/models/x/infer")):
        reply = server.inference.request(method, path)
        assert reply.json() == {"path": path, "method": method}


def test_a_router_of_a_class_stands_before_its_models(start_function: StartFunction) -> None:
    server = start_function({"kind": "router", "class_name": "Guard", "routes": routes()})
    assert ask(server.inference, "/v2/models/m1/infer", {"inputs": [5]}).json()["outputs"] == 500
    for path in ("/v2/models/m2/infer", "/v2/models/m2"):
        reply = ask(server.inference, path, {"inputs": [5]})
        assert (reply.status, reply.text) == (400, "PermissionError: m2 is not for you")
    assert server.inference.get("/v2/models/").json() == {"models": ["m1", "m2"]}


def test_a_router_that_asks_all_has_its_operations_and_the_root(
    start_function: StartFunction,
) -> None:
    server = start_function({"kind": "router", "class_name": "ParallelRun", "routes": routes()})
    assert ask(server.inference, "/v2/models/m2/infer", {"inputs": [5]}).json()["outputs"] == 1000
    assert server.inference.get("/").json()["name"] == "ParallelRun"
    for path in ("/v2/models/infer", "/"):
        merged = ask(server.inference, path, {"inputs": [5], "model": "m1"}).json()
        assert merged["outputs"] in (500, 1000)


def test_an_ensemble_at_the_root_leaves_models_of_others_alone(
    start_function: StartFunction,
) -> None:
    args = {"vote_type": "regression"}
    ensemble = {"kind": "router", "class_name": "VotingEnsemble", "class_args": args}
    server = start_function({**ensemble, "routes": routes()})

    def asked(**body: Any) -> Any:
        return ask(server.inference, "/", {"inputs": [5], **body}).json()["outputs"]

    assert asked(model="m2") == 750.0, "its own are not asked by the body"
    url = server.write_model("lone", CODE, manifest("lone", "code:Mul"))
    arguments = json.dumps({"multiplier": 7})
    with server.registered(url, model_name="lone", handler="service:Mul", class_args=arguments):
        assert asked(model="lone") == 35
        assert asked() == 750.0
