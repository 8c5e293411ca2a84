"""Flows and the harness around them: cases of MLRun's own tests."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import harness_classes
import pytest

from mms.interfaces.mlrun.errors import (
    MLRunConflictError,
    MLRunInvalidArgumentError,
    MLRunNotFoundError,
)
from mms.serving import GraphContext, GraphServer, ServingFunction, new_function

ENGINES = ("sync", "async")


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


@pytest.mark.parametrize("engine", ENGINES)
def test_handlers_are_expressions_and_functions_by_name(engine: str) -> None:
    function, graph = flow(engine)
    graph.to(name="s1", handler="(event + 1)").to(name="s2", handler="json.dumps").respond()
    assert answer_of(function, 5) == "6"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_handler_that_names_the_context_gets_it(engine: str) -> None:
    function, graph = flow(engine)
    graph.to(name="s1", handler="double_and_note").to(name="s2", handler="double_and_note").to(
        name="s3", handler="double_and_note"
    ).respond()
    server = mock(function)
    assert server.test(body=5) == 40
    server.wait_for_completion()
    assert isinstance(server.context, GraphContext)
    assert vars(server.context)["seen"] == [5, 10, 20]


def test_steps_may_be_classes_that_pass_on_and_wrap() -> None:
    function, graph = flow()
    graph.to("Echo", "s1").to("WithName", "s2").respond()
    assert answer_of(function, 5) == [5, "s2"]


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        ({"a": 1}, None, {"a": 1}),
        ("[1,2]", None, [1, 2]),
        ("[1,2]", "application/json", [1, 2]),
        (b"[1,2]", "application/json; charset=utf-8", [1, 2]),
        ("[1,2]", "application/text", "[1,2]"),
        ("xx [1,2]", None, "xx [1,2]"),
    ],
)
def test_a_body_is_read_by_its_content_type(body: Any, content_type: Any, expected: Any) -> None:
    function, graph = flow()
    graph.to("Echo", "s1").respond()
    assert answer_of(function, body, content_type=content_type) == expected


def test_json_that_is_none_is_refused() -> None:
    function, graph = flow()
    graph.to("Echo", "s1").respond()
    answer = answer_of(function, "xx [1,2]", content_type="application/json", silent=True)
    assert answer.status_code == 400
    assert answer.body.startswith("failed to json decode event, ")


def test_a_function_has_a_content_type_for_bodies_without_one() -> None:
    function, graph = flow()
    graph.to("Echo", "s1").respond()
    function.spec.default_content_type = "application/text"
    assert answer_of(function, "[1,2]") == "[1,2]"
    function.spec.default_content_type = "application/json"
    assert answer_of(function, "[1,2]") == [1, 2]


def note_error(event: Any) -> Any:
    event.body = {"error": event.error, "origin": event.origin_state}
    return event


@pytest.mark.parametrize("engine", ENGINES)
def test_a_steps_error_handler_answers_in_its_place(engine: str) -> None:
    function, graph = flow(engine)
    graph.to("Echo", "s1").to("Fails", "s2").error_handler(
        name="catch", handler="note_error", full_event=True
    ).to("Echo", "s3").respond()
    server = function.to_mock_server(namespace=[harness_classes, {"note_error": note_error}])
    answer = server.test(body=5)
    server.wait_for_completion()
    # Of an exception its message is written.
    error = "cannot do 5" if engine == "async" else {"s2": "cannot do 5"}
    assert answer == {"error": error, "origin": "s2"}


def test_an_error_that_nobody_waits_for_reaches_nobody() -> None:
    class Broken:
        def push(self, records: Any) -> None:
            raise OSError("no stream")

    function, graph = flow("async")
    graph.to("Fails", "s1")
    server = mock(function)
    server._error_stream_object = Broken()
    answer = server.test(body=5, event_id="E")
    server.wait_for_completion()
    assert answer == {"id": "E"}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("step", [{"handler": "double"}, {"class_name": "Double"}])
def test_a_step_reads_and_writes_parts_of_the_body(engine: str, step: dict[str, str]) -> None:
    class Double:
        def do(self, x: Any) -> Any:
            return x * 2

    function, graph = flow(engine)
    graph.to(name="s1", input_path="x", result_path="y.z", **step).respond()
    server = function.to_mock_server(namespace=[harness_classes, {"Double": Double}])
    answer = server.test(body={"x": 5})
    server.wait_for_completion()
    assert answer == {"x": 5, "y": {"z": 10}}


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


def test_branches_end_at_the_responder() -> None:
    function, graph = flow("async")
    graph.to("Chain", "s1").to("Chain", "s2")
    graph.add_step(">>", "q1", after="s2", path="")
    graph.add_step("Chain", "s3", after="q1", function="f1")
    graph.add_step("Chain", "s4", after="q1", function="f1")
    graph.add_step("Chain", "s5", after="s2").respond()
    function.add_child_function("f1")
    assert answer_of(function, []) == ["s1", "s2", "s5"]


def test_a_step_after_a_queue_needs_a_function() -> None:
    _, graph = flow("async")
    graph.to("Echo", "s1").to(">>", "q1", path="")
    with pytest.raises(
        MLRunInvalidArgumentError,
        match="step 's2' must specify a function, because it follows a queue step",
    ):
        graph.add_step("Echo", "s2", after="q1")


def test_a_router_within_a_flow_answers() -> None:
    function, graph = flow("async")
    graph.to(name="twice", handler="(dict(event, inputs=[2 * x for x in event['inputs']]))")
    router = graph.add_step("*", name="router", after="twice")
    router.add_route("m1", class_name="Mul", model_path=".", multiplier=100)
    router.add_route("m2", class_name="Mul", model_path=".", multiplier=200)
    router.respond()
    answer = answer_of(function, {"inputs": [5]}, path="/v2/models/m2/infer")
    assert answer["outputs"] == 2000


def test_a_flow_is_replaced_by_force_alone() -> None:
    function, graph = flow()
    graph.to("Echo", "s1")
    steps = [{"name": "a", "handler": "(event + 10)"}, {"name": "b", "handler": "json.dumps"}]
    with pytest.raises(MLRunInvalidArgumentError, match="force=True"):
        graph.set_flow(steps)
    graph.set_flow(steps, force=True).respond()
    assert answer_of(function, 5) == "15"


def test_merged_branches_answer_with_the_list_of_their_bodies() -> None:
    function, graph = flow("async")
    graph.to(name="twice", handler="(event * 2)")
    graph.add_step(name="two", handler="(event + 2)", after="twice")
    graph.add_step(name="three", handler="(event + 3)", after="twice")
    graph.add_step("mlrun.serving.Merge", name="join", after=["two", "three"]).respond()
    assert sorted(answer_of(function, 5)) == [12, 13]


def test_secrets_reach_the_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_ENV", "1")
    function, graph = flow()
    graph.to("Echo", "s1").respond()
    function.with_secrets("inline", {"own": "2"}).with_secrets("env", "OF_ENV")
    context = mock(function).context
    assert [context.get_secret(key) for key in ("own", "OF_ENV", "nobodys")] == ["2", "1", None]
    with pytest.raises(MLRunInvalidArgumentError, match="secrets of kind paper"):
        function.with_secrets("paper", "x")


@pytest.mark.parametrize(
    ("error", "status"),
    [(MLRunNotFoundError, 404), (MLRunConflictError, 409), (ValueError, 400), (RuntimeError, 400)],
)
def test_an_error_of_mlrun_has_its_own_status(error: type[Exception], status: int) -> None:
    class Wrong:
        def do(self, body: Any) -> Any:
            raise error("not this way")

    function, graph = flow()
    graph.to("Wrong", "s1").respond()
    server = function.to_mock_server(namespace={"Wrong": Wrong})
    answer = server.test(body=5, silent=True)
    assert (answer.status_code, answer.body) == (status, f"{error.__name__}: not this way")


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


# Other servers


class _Remote(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        told = {
            "path": self.path,
            "body": json.loads(body),
            "id": self.headers["MLRUN-EVENT-ID"],
            "client": self.headers["X-Client"],
        }
        text = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def remote() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Remote)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_remote_step_sends_body_and_id_but_not_the_clients_headers(
    engine: str, remote: str
) -> None:
    function, graph = flow(engine)
    graph.to("$remote", "r", url=remote, subpath="$path").respond()
    server = mock(function)
    answer = server.test("/a/b", {"x": 1}, headers={"X-Client": "me"}, event_id="E")
    server.wait_for_completion()
    assert answer == {"path": "/a/b", "body": {"x": 1}, "id": "E", "client": None}


def test_a_model_may_be_elsewhere(remote: str) -> None:
    function = new_function("tests", kind="serving")
    function.add_model("far", model_url=f"{remote}/v2/models/m/infer")
    answer = function.to_mock_server().test("/v2/models/far/infer", {"inputs": [1]})
    assert answer["path"] == "/v2/models/m/infer"
    assert answer["body"]["inputs"] == [1]


# The handler of a deployed function


def test_a_functions_handler_is_made_of_the_spec_in_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mms.serving import MockEvent, nuclio_init_hook

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
    from mms.serving import nuclio_init_hook

    monkeypatch.delenv("SERVING_SPEC_ENV", raising=False)
    assert not os.path.exists("/tmp/mlrun/serving-conf/serving_spec.json")
    with pytest.raises(MLRunInvalidArgumentError, match="SERVING_SPEC_ENV"):
        nuclio_init_hook(GraphContext(), {}, "serving_v2")
    with pytest.raises(MLRunInvalidArgumentError, match="kind job"):
        nuclio_init_hook(GraphContext(), {}, "job")
