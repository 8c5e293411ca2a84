"""Flows and routers that a worker serves as one model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mlrun_served import ServedModel, item

from mms.interfaces.mlrun.errors import GraphError
from mms.worker.calls import CallAnswer, CallFailed, caller

OpenModel = Callable[..., ServedModel]

STEPS = """
    class Double:
        def do(self, body):
            return {"inputs": [value * 2 for value in body["inputs"]]}

    class Slow:
        pass
"""
FLOW: dict[str, Any] = {
    "engine": "sync",
    "steps": {
        "double": {"class_name": "Double"},
        "last": {"handler": "(event['inputs'])", "after": ["double"], "responder": True},
    },
}
ROUTER: dict[str, Any] = {"kind": "router", "routes": {"m1": {"class_name": "Model"}}}


class Calls:
    """Answers a worker's calls in place of the front."""

    def __init__(self, answer: CallAnswer | CallFailed) -> None:
        self.answer = answer
        self.asked: list[dict[str, Any]] = []

    def __call__(self, key: str, body: Any, **members: Any) -> CallAnswer:
        self.asked.append({"key": key, "body": bytes(body), **members})
        if isinstance(self.answer, CallFailed):
            raise self.answer
        return self.answer


@pytest.fixture
def route(open_model: OpenModel, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ServedModel]:
    """A router with one model that runs elsewhere, which answers so."""

    def opened(calls: Calls) -> ServedModel:
        monkeypatch.setattr(caller, "call", calls)
        return open_model(STEPS, graph=ROUTER, calls={"m1": ["m1", None]})

    return opened


def infer(served: ServedModel, **members: Any) -> Any:
    path = "/v2/models/m1/infer"
    return served.ask("infer", {"inputs": [1]}, path=path, **members)


def test_a_flow_finds_its_classes_in_the_handlers_module(open_model: OpenModel) -> None:
    served = open_model(STEPS, graph=FLOW)
    assert served.ask("", {"inputs": [1, 2]}, path="/").json() == [2, 4]


def test_a_module_that_deploys_itself_deploys_nothing_from_a_worker(open_model: OpenModel) -> None:
    deploys = """
    from mms.interfaces.mlrun.authoring.functions import new_function

    function = new_function("itself", kind="serving")
    function.set_topology("flow", engine="sync").to(name="same", handler="(event)").respond()
    address = function.deploy(management_address="http://127.0.0.1:1")
    """
    served = open_model(deploys + STEPS, graph=FLOW)
    assert served.ask("", {"inputs": [1]}, path="/").json() == [2]


def test_a_graph_that_names_an_unknown_class_does_not_load(open_model: OpenModel) -> None:
    with pytest.raises(GraphError, match="Absent"):
        open_model(STEPS, graph={"steps": {"a": {"class_name": "Absent"}}})


def test_a_graph_of_built_in_classes_needs_no_module(open_model: OpenModel) -> None:
    flow = {"engine": "sync", "steps": {"one": {"handler": "(event + 1)", "responder": True}}}
    served = open_model(
        STEPS, handler="mms.interfaces.mlrun.graph.graph_document:GraphModel", graph=flow
    )
    assert served.ask("", 5, path="/").json() == 6


def test_a_model_of_a_router_is_asked_through_the_front(
    route: Callable[..., ServedModel],
) -> None:
    calls = Calls(CallAnswer(200, {"content-type": "application/json"}, b'{"outputs":[7]}', ""))
    reply = infer(route(calls), headers="MLRUN-EVENT-ID\nE1", budget_ms=5000)
    assert reply.outputs == [7]
    (asked,) = calls.asked
    assert 0 < asked.pop("timeout_s") <= 5
    assert asked == {
        "key": "m1",
        "body": b'{"inputs":[1]}',
        "operation": "infer",
        "method": "POST",
        "content_type": "application/json",
        "headers": [("MLRUN-EVENT-ID", "E1")],
        "request_id": "E1",
    }


def test_a_request_without_a_limit_has_calls_without_one(
    route: Callable[..., ServedModel],
) -> None:
    calls = Calls(CallAnswer(200, {"content-type": "application/json"}, b"{}", ""))
    infer(route(calls))
    assert calls.asked[0]["timeout_s"] is None


@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [
        (CallAnswer(400, {}, b"ValueError: bad row", ""), 400, "ValueError: bad row"),
        (CallAnswer(503, {}, b"Queue is full", "Busy"), 503, "Busy: Queue is full"),
        (CallAnswer(500, {}, b"no name here", ""), 500, "ModelFailed: no name here"),
        (CallFailed("no answer"), 503, "CallFailed: no answer"),
    ],
)
def test_a_model_that_fails_elsewhere_is_told_of_in_its_own_words(
    route: Callable[..., ServedModel], answer: Any, status: int, text: str
) -> None:
    reply = infer(route(Calls(answer)))
    assert (reply.status, reply.text) == (status, text)


def test_an_answer_that_is_no_json_is_passed_on(route: Callable[..., ServedModel]) -> None:
    answer = CallAnswer(201, {"content-type": "text/csv"}, b"1,2", "")
    reply = infer(route(Calls(answer)))
    assert (reply.status, reply.headers["content-type"], reply.body) == (201, "text/csv", b"1,2")


def test_a_graphs_events_have_the_whole_path(open_model: OpenModel) -> None:
    flow = {
        "engine": "sync",
        "steps": {"path": {"handler": "(event.path)", "full_event": True, "responder": True}},
    }
    flow["steps"]["path"]["handler"] = "tell"  # type: ignore[index]
    source = """
        def tell(event):
            event.body = event.path
            return event
    """
    served = open_model(source, graph=flow)
    (reply,) = served.send(item("a", {"x": 1}, path="/v2/models/m/a"))
    assert reply.text == "/v2/models/m/a"


def test_an_initializer_may_change_the_graph_before_it_is_made(open_model: OpenModel) -> None:
    source = (
        STEPS
        + """
    def start(server):
        server.graph.add_step(name="more", handler="(sum(event))", after="last").respond()
        server.graph["last"].responder = None
    """
    )
    served = open_model(source, graph=FLOW, graph_initializer="start")
    assert served.ask("", {"inputs": [1, 2]}, path="/").json() == 6


def test_a_graph_reads_bodies_by_its_functions_default_content_type(open_model: OpenModel) -> None:
    flow = {"engine": "sync", "steps": {"one": {"handler": "(type(event).__name__)"}}}
    members = {"handler": "mms.interfaces.mlrun.graph.graph_document:GraphModel", "graph": flow}
    typed = open_model(STEPS, default_content_type="application/json", **members)
    assert typed.ask("", b"[1,2]", path="/", content_type=b"").text == "list"
    typed = open_model(STEPS, default_content_type="text/plain", **members)
    assert typed.ask("", b"[1,2]", path="/", content_type=b"").text == "bytes"
