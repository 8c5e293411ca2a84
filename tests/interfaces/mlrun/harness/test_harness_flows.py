"""Flows and the harness around them: cases of MLRun's own tests."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import harness_classes
import pytest

from mms.interfaces.mlrun import GraphContext, GraphServer, ServingFunction, new_function
from mms.interfaces.mlrun.errors import MLRunInvalidArgumentError


def flow(engine: str = "sync") -> tuple[ServingFunction, Any]:
    function = new_function("tests", kind="serving", project="x")
    return function, function.set_topology("flow", engine=engine)


def mock(function: ServingFunction, **options: Any) -> GraphServer:
    return function.to_mock_server(namespace=harness_classes, **options)


def answer_of(function: ServingFunction, body: Any, **options: Any) -> Any:
    server = mock(function)
    answer = server.test(body=body, **options)
    server.wait_for_completion()
    return answer


def test_steps_run_in_the_order_of_the_graph_and_know_the_project() -> None:
    function, graph = flow()
    graph.add_step(name="s2", class_name="Chain")
    graph.add_step(name="s1", class_name="Chain", before="s2")
    graph.add_step(name="s3", class_name="Chain", after="s2")
    server = mock(function)
    # An empty list is no body, and yet what the first step gets.
    assert server.test(body=[]) == ["s1", "s2", "s3"]
    assert server.context.project == "x"


def test_a_function_has_a_content_type_for_bodies_without_one() -> None:
    function, graph = flow()
    graph.to("Echo", "s1").respond()
    function.spec.default_content_type = "application/text"
    assert answer_of(function, "[1,2]") == "[1,2]"
    function.spec.default_content_type = "application/json"
    assert answer_of(function, "[1,2]") == [1, 2]


def test_a_model_goes_to_the_router_that_there_is() -> None:
    function, graph = flow()
    graph.to("Echo", "s1")
    with pytest.raises(ValueError, match="graph does not contain any router"):
        function.add_model("m1", ".", class_name="Mul", multiplier=100)
    graph.add_step("*", name="r1", after="s1").respond()
    function.add_model("m1", ".", class_name="Mul", multiplier=100)
    answer = answer_of(function, {"inputs": [5]}, path="/v2/models/m1/infer")
    assert answer["outputs"] == 500


def test_of_two_routers_the_named_one_gets_the_model() -> None:
    function, graph = flow()
    graph.to("*", "r1").to("*", "r2")
    with pytest.raises(ValueError, match=r"found 2 routers \(r1, r2\), please specify"):
        function.add_model("m1", ".", class_name="Mul")
    with pytest.raises(ValueError, match="router step r3 not present in the graph"):
        function.add_model("m1", ".", class_name="Mul", router_step="r3")
    function.add_model("m1", ".", class_name="Mul", router_step="r2")
    assert (list(graph["r1"].routes), list(graph["r2"].routes)) == ([], ["m1"])


@pytest.mark.parametrize("current", ["*", "f2"])
def test_a_process_runs_the_steps_of_its_function(current: str) -> None:
    function = new_function("tests", kind="serving", project="x")
    graph = function.set_topology("flow", engine="sync")
    graph.to("Echo", "s1").to(">>", "q1", path="").to("WithName", "s2", function="f2")
    function.add_child_function("f2")
    server = mock(function, current_function=current)
    expected = [5, "s2"]
    assert server.test(body=5) == expected


def test_classes_and_functions_come_from_the_functions_file(tmp_path: Path) -> None:
    code = tmp_path / "of_file.py"
    code.write_text(
        "class Twice:\n    def do(self, x):\n        return x * 2\n\n\ndef twice(x):\n    return x * 2\n"
    )
    function = new_function("tests", command=str(code), kind="serving")
    graph = function.set_topology("flow", engine="sync")
    graph.to("Twice", "s1").to(name="s2", handler="twice").respond()
    assert function.to_mock_server().test(body=5) == 20


def test_secrets_reach_the_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_ENV", "1")
    function, graph = flow()
    graph.to("Echo", "s1").respond()
    function.with_secrets("inline", {"own": "2"}).with_secrets("env", "OF_ENV")
    context = mock(function).context
    assert [context.get_secret(key) for key in ("own", "OF_ENV", "nobodys")] == ["2", "1", None]
    with pytest.raises(MLRunInvalidArgumentError, match="secrets of kind paper"):
        function.with_secrets("paper", "x")


def start_it(server: Any) -> None:
    server.context.started_with = list(server.graph.steps)


def test_the_initializer_gets_the_server() -> None:
    function, graph = flow()
    graph.to("Echo", "s1").respond()
    function.spec.graph_initializer = start_it
    assert mock(function).context.started_with == ["s1"]


def test_a_mock_server_does_not_change_the_functions_graph() -> None:
    function, graph = flow("async")
    graph.to("Echo", "s1").respond()
    before = graph.to_dict()
    server = mock(function)
    server.test(body=1)
    assert server.graph is not graph
    assert graph.to_dict() == before
    graph.to("WithName", "s2")
    assert list(server.graph.steps) == ["s1"]


def test_a_model_may_be_elsewhere() -> None:
    function = new_function("tests", kind="serving")
    function.add_model("far", model_url="http://host/v2/models/m/infer", timeout=3)
    route = function.spec.graph["far"]
    assert route.class_name == "$remote"
    assert route.class_args == {"url": "http://host/v2/models/m/infer", "timeout": 3}


# The handler of a deployed function


def test_a_functions_handler_is_made_of_the_spec_in_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mms.interfaces.mlrun import MockEvent, nuclio_init_hook

    function = harness_classes.routed()
    monkeypatch.setenv("SERVING_SPEC_ENV", json.dumps(function.to_serving_spec()))
    context: Any = GraphContext()
    context.is_mock = True
    nuclio_init_hook(context, vars(harness_classes), "serving_v2")
    event = MockEvent(
        json.dumps({"inputs": [5]}).encode(),
        path="/v2/models/m2/infer",
        method="POST",
        content_type="application/json",
    )
    answer = context.mlrun_handler(context, event)
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    assert json.loads(answer.body)["outputs"] == 1000


def test_a_handler_without_a_spec_says_where_it_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    from mms.interfaces.mlrun import nuclio_init_hook

    monkeypatch.delenv("SERVING_SPEC_ENV", raising=False)
    assert not os.path.exists("/tmp/mlrun/serving-conf/serving_spec.json")
    with pytest.raises(MLRunInvalidArgumentError, match="SERVING_SPEC_ENV"):
        nuclio_init_hook(GraphContext(), {}, "serving_v2")
    with pytest.raises(MLRunInvalidArgumentError, match="kind job"):
        nuclio_init_hook(GraphContext(), {}, "job")
