"""Graphs as a process opens them for others, with models that run elsewhere."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest
from flow_harness import WAIT_S
from support.waiting import eventually

import mms.interfaces.mlrun.graph.graph_document as of_graph_document
import mms.interfaces.mlrun.graph.lookup as of_lookup
from mms.interfaces.mlrun.errors import GraphError
from mms.interfaces.mlrun.graph.graph_document import GraphModel
from mms.interfaces.mlrun.model.context import GraphContext
from mms.interfaces.mlrun.model.event import MockEvent, Response
from mms.interfaces.mlrun.model.model_server import V2ModelServer


class Never(V2ModelServer):
    """A model that must not be made here."""

    def __init__(self, **_: Any) -> None:
        raise AssertionError("it was made in this process")


class Own:
    def answer(self, body: Any) -> str:
        return "own"


class Slow(V2ModelServer):
    may_load = threading.Event()

    def load(self) -> None:
        assert self.may_load.wait(WAIT_S)

    def predict(self, request: Any) -> Any:
        return request["inputs"]


class Broken(V2ModelServer):
    def load(self) -> None:
        raise OSError("the file is gone")


def opened(document: Any, mode: str, context: Any, namespace: Any = None) -> GraphModel:
    model = GraphModel(document, context, namespace)
    model.post_init(mode)
    return model


def asked(graph: Any, body: Any, path: str = "/", **event: Any) -> Any:
    return graph.run(MockEvent(body=body, path=path, method="POST", **event)).body


def context_with_calls(calls: list[Any]) -> GraphContext:
    def call_model(key: str, operation: str, event: Any) -> Any:
        calls.append((key, operation, event.body))
        return {"outputs": [key]}

    context = GraphContext()
    context.call_model = call_model
    return context


def test_models_of_a_router_are_asked_where_they_run() -> None:
    calls: list[Any] = []
    document = {
        "kind": "router",
        "routes": {"m1": {"class_name": "Never"}, "m2:v1": {"class_name": "Never"}},
    }
    graph = opened(document, "sync", context_with_calls(calls), globals())
    assert asked(graph, {"inputs": [1]}, "/v2/models/m2/versions/v1/explain") == {
        "outputs": ["m2:v1"]
    }
    assert calls == [("m2:v1", "explain", {"inputs": [1]})]


def test_models_of_routers_in_a_flow_are_asked_by_keys_of_their_own() -> None:
    calls: list[Any] = []
    routes = {"m1": {"class_name": "Never"}}
    document: Any = {
        "steps": {
            "start": {"handler": "(event)"},
            "r1": {"kind": "router", "after": ["start"], "routes": routes},
            "r2": {"kind": "router", "after": ["start"], "routes": routes},
            "join": {"class_name": "mlrun.serving.merger.Merge", "after": ["r1", "r2"]},
        },
    }
    document["steps"]["join"]["responder"] = True
    graph = opened(document, "sync", context_with_calls(calls), globals())
    asked(graph, {"inputs": [1]}, "/v2/models/m1/infer")
    assert sorted(key for key, _, _ in calls) == ["r1.m1", "r2.m1"]


def test_routes_without_a_model_run_here() -> None:
    calls: list[Any] = []
    routes = {"same": {"handler": "(event)"}, "own": {"class_name": "Own", "handler": "answer"}}
    document = {"kind": "router", "routes": routes}
    graph = opened(document, "sync", context_with_calls(calls), globals())
    assert asked(graph, {"inputs": [1]}, "/v2/models/same/infer") == {"inputs": [1]}
    assert asked(graph, {"inputs": [1]}, "/v2/models/own/infer") == "own"
    assert calls == []


def test_an_answer_with_a_status_of_a_model_elsewhere_is_the_reply() -> None:
    context = GraphContext()
    context.call_model = lambda key, operation, event: Response(body="busy", status_code=503)
    document = {"kind": "router", "routes": {"m1": {"class_name": "Never"}}}
    graph = opened(document, "sync", context)
    assert asked(graph, {"inputs": [1]}, "/v2/models/m1/infer").status_code == 503


def test_a_graph_is_ready_when_its_models_have_loaded() -> None:
    document = {"kind": "router", "routes": {"m1": {"class_name": "Slow"}}}
    graph = opened(document, "async", GraphContext(), globals())
    assert not graph.ready
    Slow.may_load.set()
    eventually("the graph is ready", lambda: graph.ready)
    assert asked(graph, {"inputs": [1]}, "/v2/models/m1/infer")["outputs"] == [1]


def test_a_load_that_fails_at_once_fails_the_graph() -> None:
    document = {"steps": {"m1": {"class_name": "Broken"}}}
    with pytest.raises(RuntimeError, match="failed to load model m1"):
        opened(document, "sync", GraphContext(), globals())


def test_a_load_that_fails_in_the_background_is_told() -> None:
    document = {"steps": {"m1": {"class_name": "Broken"}}}
    graph = opened(document, "async", GraphContext(), globals())
    graph.graph["m1"].object._load_thread.join(WAIT_S)
    assert "the file is gone" in str(graph.error)
    assert not graph.ready


def test_what_is_under_way_ends_with_the_process_or_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    may_go_on = threading.Event()

    def wait(body: Any) -> None:
        may_go_on.wait(WAIT_S)

    document = {"steps": {"s1": {"handler": "wait"}}}
    graph = opened(document, "sync", GraphContext(), {"wait": wait})
    asked(graph, {})
    monkeypatch.setattr(of_graph_document, "END_S", 0.01)
    graph.terminate()
    assert "1 events of the flow were still under way" in capsys.readouterr().out
    may_go_on.set()
    graph.wait_for_completion(WAIT_S)


def test_options_without_a_graph_are_refused() -> None:
    with pytest.raises(GraphError, match="there is no graph in the options"):
        GraphModel({}, GraphContext())


@pytest.mark.parametrize("name", sorted(of_lookup.BUILT_IN))
def test_built_in_classes_are_found_by_the_names_of_mlrun(name: str) -> None:
    assert of_lookup.find_object(f"mlrun.serving.{name}", []).__name__ == name


def test_the_code_of_a_function_comes_before_what_is_built_in() -> None:
    assert of_lookup.find_object("ModelRouter", [{"ModelRouter": Slow}]) is Slow


def test_a_graph_costs_no_module_that_it_does_not_use() -> None:
    script = (
        "import sys, mms.interfaces.mlrun.graph.graph_document\n"
        "print([m for m in ('urllib.request', 'http.client', 'asyncio', 'inspect', 'logging', "
        "'concurrent.futures', 'json', 'yaml') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
