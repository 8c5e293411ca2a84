"""Flows over HTTP: what a function's document says about its steps is what clients see."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.client import Client, Reply
from support.server import Server, ServerPool, unique_name
from support.waiting import eventually

from .service import ask

pytestmark = pytest.mark.better_than_mms

CODE = '''
import json
import mlrun.errors
from mlrun.serving import V2ModelServer


class Chain:
    """Appends its name to a copy of the list."""

    def __init__(self, name=None):
        self.name = name

    def do(self, body):
        return [*body, self.name]


class Echo:
    def do(self, body):
        return body


class Pair:
    def __init__(self, name=None):
        self.name = name

    def do(self, body):
        return [body, self.name]


class Mul(V2ModelServer):
    def load(self):
        pass

    def predict(self, request):
        return request["inputs"][0] * self.get_param("multiplier")


class Sums(V2ModelServer):
    def load(self):
        pass

    def predict(self, request):
        return [sum(row) * self.get_param("multiplier") for row in request["inputs"]]


class Answers:
    def __init__(self, context, answer):
        self.answer = answer

    def do(self, body):
        return dict(self.answer)


class Fails:
    def do(self, body):
        raise ValueError("this step never works")


class Catch:
    def do_event(self, event):
        event.body = {"body": event.body, "error": event.error, "origin_state": event.origin_state}
        return event


def double(body):
    return body * 2


def double_list(body):
    return {**body, "inputs": [2 * value for value in body["inputs"]]}


def double_with(body, context):
    assert context.project == "proj" and context.get_param("factor") == 2
    return body * context.get_param("factor")


def kind(body):
    return f"{type(body).__name__} {body}"


def secret(body, context):
    return [context.get_secret(name) for name in body]


def times_two(body):
    return {"mul": body["x"] * 2}


def refuse(body):
    raise getattr(mlrun.errors, body, RuntimeError)("not like this")
'''

ENGINES = pytest.mark.parametrize("engine", ["sync", "async"])


@pytest.fixture(scope="module")
def server(servers: ServerPool) -> Iterator[Server]:
    started = Server(servers.new_directory(), {"default_workers_per_model": "1"}).start()
    yield started
    started.stop()


@contextmanager
def function(server: Server, graph: dict[str, Any], **members: Any) -> Iterator[Client]:
    """Serve a graph at the root, until the block ends."""
    name = unique_name("flow")
    document = {"function_uri": f"proj/{name}", "version": "v2", "graph": graph}
    document |= {"filename": "steps.py", "code": CODE, **members}
    reply = server.management.post_json(
        "/models", {"serving_spec": document, "initial_workers": 1, "synchronous": True}
    )
    assert reply.status == 200, reply
    try:
        yield server.inference
    finally:
        server.unregister(name)


def row(engine: str = "sync", **steps: dict[str, Any]) -> dict[str, Any]:
    """A flow whose steps come one after the other; the last one replies."""
    names = list(steps)
    for before, name in zip(names, names[1:], strict=False):
        steps[name].setdefault("after", [before])
    if engine == "async":
        steps[names[-1]]["responder"] = True
    return {"engine": engine, "steps": steps}


def router(class_name: str | None = None, **routes: dict[str, Any]) -> dict[str, Any]:
    named = {} if class_name is None else {"class_name": class_name}
    return {"kind": "router", **named, "routes": routes}


def model(class_name: str, **class_args: Any) -> dict[str, Any]:
    return {"class_name": class_name, "class_args": {"model_path": "", **class_args}}


def refused(server: Server, graph: dict[str, Any]) -> str:
    document = {"graph": graph, "filename": "steps.py", "code": CODE}
    reply = server.management.post_json("/models", {"serving_spec": document})
    assert reply.status == 400, reply
    return str(reply.json()["message"])


# Steps in a row


def test_steps_run_in_the_order_of_the_graph_however_the_document_has_them(server: Server) -> None:
    chain = {"class_name": "Chain"}
    steps = {"s3": {**chain, "after": ["s2"]}, "s1": chain, "s2": {**chain, "after": ["s1"]}}
    with function(server, {"engine": "sync", "steps": steps}) as client:
        assert ask(client, "/", []).json() == ["s1", "s2", "s3"]


@ENGINES
def test_handlers_are_expressions_and_functions_by_name(server: Server, engine: str) -> None:
    graph = row(engine, add={"handler": "(event + 1)"}, write={"handler": "json.dumps"})
    with function(server, graph) as client:
        reply = ask(client, "/", 5)
        assert (reply.header("Content-Type"), reply.text) == ("text/plain", "6")


def test_a_handler_that_names_the_context_gets_it(server: Server) -> None:
    with function(server, row(s1={"handler": "double_with"}), parameters={"factor": 2}) as client:
        assert ask(client, "/", 5).json() == 10


def test_a_step_of_a_class_passes_on_or_wraps(server: Server) -> None:
    graph = row(s1={"class_name": "Echo"}, s2={"class_name": "Pair"})
    with function(server, graph) as client:
        assert ask(client, "/", 5).json() == [5, "s2"]


def test_a_body_is_read_by_its_content_type(server: Server) -> None:
    with function(server, row(tell={"handler": "kind"})) as client:
        for body, content_type, text in (
            (b'{"a": 1}', None, "dict {'a': 1}"),
            (b"[1,2]", None, "list [1, 2]"),
            (b"[1,2]", "application/json", "list [1, 2]"),
            (b"[1,2]", "application/text", "bytes b'[1,2]'"),
            (b"xx [1,2]", None, "bytes b'xx [1,2]'"),
        ):
            assert client.post("/", body, content_type=content_type).text == text
        reply = client.post("/", b"xx [1,2]", content_type="application/json")
        assert (reply.status, reply.text.partition(",")[0]) == (400, "failed to json decode event")


def test_a_function_says_how_bodies_without_a_content_type_are_read(server: Server) -> None:
    graph = row(tell={"handler": "kind"})
    with function(server, graph, default_content_type="application/text") as client:
        assert client.post("/", b"[1,2]", content_type=None).text == "bytes b'[1,2]'"


def test_a_step_reads_and_writes_parts_of_the_body(server: Server) -> None:
    paths = {"input_path": "x", "result_path": "y.z"}
    with function(server, row("async", s1={"handler": "double", **paths})) as client:
        assert ask(client, "/", {"x": 5}).json() == {"x": 5, "y": {"z": 10}}


def test_secrets_reach_the_steps(server: Server) -> None:
    sources = [{"kind": "inline", "source": {"user": "me"}}]
    with function(server, row(s1={"handler": "secret"}), secret_sources=sources) as client:
        assert ask(client, "/", ["user", "nobody"]).json() == ["me", None]


# Errors


def test_a_steps_error_handler_answers_in_its_place(server: Server) -> None:
    graph = row(
        "sync", s1={"class_name": "Echo"}, s2={"class_name": "Fails"}, s3={"class_name": "Echo"}
    )
    graph["steps"]["s2"]["on_error"] = "catch"
    graph["steps"]["catch"] = {"kind": "error_step", "class_name": "Catch", "full_event": True}
    graph["steps"]["catch"]["base_step"] = "s2"
    with function(server, graph) as client:
        answer = ask(client, "/", {"x": 5}).json()
    assert (answer["body"], answer["origin_state"]) == ({"x": 5}, "s2")
    assert "this step never works" in str(answer["error"])


def test_an_error_that_nobody_waits_for_reaches_nobody_and_the_stream_has_it(
    server: Server, tmp_path: Path
) -> None:
    graph = {"engine": "async", "steps": {"s1": {"class_name": "Fails"}}}
    errors = tmp_path / "errors.jsonl"
    with function(server, graph, error_stream=str(errors)) as client:
        reply = ask(client, "/", 5, headers={"MLRUN-EVENT-ID": "E5"})
        assert (reply.status, reply.json()) == (200, {"id": "E5"})
        eventually("the error is written", lambda: errors.exists() and errors.read_text())
    record = json.loads(errors.read_text().splitlines()[0])
    assert (record["source"], record["event"]["body"]) == ("s1", 5)
    assert "this step never works" in record["message"]


def test_an_error_of_mlrun_has_its_own_status_and_any_other_is_the_clients(server: Server) -> None:
    with function(server, row(s1={"handler": "refuse"})) as client:
        for name, status in (
            ("RuntimeError", 400),
            ("MLRunNotFoundError", 404),
            ("MLRunAccessDeniedError", 403),
            ("MLRunConflictError", 409),
            ("MLRunInternalServerError", 500),
            ("MLRunUnprocessableEntityError", 422),
        ):
            reply = client.post_json("/", name)
            assert (reply.status, reply.text) == (status, f"{name}: not like this")


# Branches


def test_branches_over_a_queue_end_at_the_responder(server: Server) -> None:
    chain = {"class_name": "Chain"}
    steps = {
        "s1": chain,
        "s2": {**chain, "after": ["s1"]},
        "q1": {"kind": "queue", "path": "", "after": ["s2"]},
        "s3": {**chain, "after": ["q1"], "function": "other"},
        "s5": {**chain, "after": ["s2"], "responder": True},
    }
    with function(server, {"engine": "async", "steps": steps}) as client:
        assert ask(client, "/", []).json() == ["s1", "s2", "s5"]


def test_merged_branches_answer_with_the_list_of_their_bodies(server: Server) -> None:
    steps = {
        "double": {"handler": "double"},
        "two": {"handler": "(event + 2)", "after": ["double"]},
        "three": {"handler": "(event + 3)", "after": ["double"]},
        "merge": {
            "class_name": "mlrun.serving.Merge",
            "after": ["two", "three"],
            "responder": True,
        },
    }
    with function(server, {"engine": "async", "steps": steps}) as client:
        assert sorted(ask(client, "/", 5).json()) == [12, 13]


def test_a_step_after_a_queue_needs_a_function(server: Server) -> None:
    steps = {
        "s1": {"class_name": "Echo"},
        "q1": {"kind": "queue", "path": "", "after": ["s1"]},
        "s2": {"class_name": "Echo", "after": ["q1"]},
    }
    told = refused(server, {"engine": "async", "steps": steps})
    assert "s2" in told
    assert "must specify a function" in told


# Models and routers within


def test_a_router_within_a_flow_answers_for_its_models(server: Server) -> None:
    routes = {key: model("Mul", multiplier=n) for key, n in (("m1", 100), ("m2", 200))}
    graph = row("async", first={"handler": "double_list"}, router=router(**routes))
    with function(server, graph) as client:
        answer = ask(client, "/v2/models/m2/infer", {"inputs": [5]}).json()
        assert answer["outputs"] == 2000


def test_models_of_a_flow_read_and_write_parts_of_the_body(server: Server) -> None:
    steps = {
        name: {**model("Mul", multiplier=n), "input_path": "req", "result_path": name}
        for name, n in (("m1", 2), ("m2", 3))
    }
    with function(server, row("async", **steps)) as client:
        answer = ask(client, "/", {"req": {"inputs": [5]}}).json()
    assert list(answer) == ["req", "m1", "m2"]
    assert [answer[name]["outputs"] for name in ("m1", "m2")] == [10, 15]


def test_an_ensemble_is_a_step_of_a_flow(server: Server) -> None:
    step = router(
        "mlrun.serving.VotingEnsemble",
        m1=model("Sums", multiplier=10),
        m2=model("Sums", multiplier=20),
    )
    step |= {"input_path": "x", "result_path": "y", "class_args": {"vote_type": "regression"}}
    with function(server, row(ensemble=step)) as client:
        answer = ask(client, "/v2/models/infer", {"x": {"inputs": [[5]]}}).json()
    assert (answer["x"], answer["y"]["outputs"]) == ({"inputs": [[5]]}, [75])


def test_routes_that_run_in_parallel_extend_the_request(server: Server) -> None:
    graph = router(
        "mlrun.serving.ParallelRun",
        r1={"class_name": "Answers", "class_args": {"answer": {"a": 1, "b": 2}}},
        r2={"class_name": "Answers", "class_args": {"answer": {"c": 7}}},
        r3={"handler": "times_two"},
    )
    graph["class_args"] = {"extend_event": True, "executor_type": "process"}
    with function(server, graph) as client:
        for x in (8, 9):
            assert ask(client, "/", {"x": x}).json() == {
                "x": x,
                "a": 1,
                "b": 2,
                "c": 7,
                "mul": 2 * x,
            }


# Steps elsewhere


class Elsewhere:
    """A server that tells what it was sent, with the status that its path names."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        seen = self.seen

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                seen.append({"path": self.path, "body": body, "headers": dict(self.headers)})
                text = json.dumps({"post": json.loads(body)}).encode()
                self.send_response(int(self.path.rpartition("/")[2]))
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: Any) -> None:
                """Nobody reads it."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    started = Elsewhere()
    yield started
    started.close()


def test_a_remote_step_sends_body_and_id_but_not_the_clients_headers(
    server: Server, elsewhere: Elsewhere
) -> None:
    step = {"class_name": "$remote", "class_args": {"url": elsewhere.url, "subpath": "ok/200"}}
    with function(server, row("async", far=step)) as client:
        headers = {"MLRUN-EVENT-ID": "E1", "X-Of-Client": "secret"}
        assert ask(client, "/", {"req": 5}, headers=headers).json() == {"post": {"req": 5}}
    (sent,) = elsewhere.seen
    assert (sent["path"], json.loads(sent["body"])) == ("/ok/200", {"req": 5})
    names = {name.lower(): value for name, value in sent["headers"].items()}
    assert (names["mlrun-event-id"], names["mlrun-event-path"]) == ("E1", "/")
    assert "x-of-client" not in names


def test_a_remote_step_that_fails_is_an_error_after_its_attempts(
    server: Server, elsewhere: Elsewhere
) -> None:
    arguments = {"url": f"{elsewhere.url}/500", "retries": 1, "backoff_factor": 0}
    step = {"class_name": "$remote", "class_args": arguments}
    with function(server, row(far=step)) as client:
        reply: Reply = ask(client, "/", {"req": 5})
    assert reply.status == 400
    assert "500" in reply.text
    assert len(elsewhere.seen) == 2


def test_a_model_may_be_elsewhere(server: Server, elsewhere: Elsewhere) -> None:
    graph = router(
        m1=model("Mul", multiplier=100),
        far={"class_name": "$remote", "class_args": {"url": f"{elsewhere.url}/200"}},
    )
    with function(server, graph) as client:
        assert ask(client, "/v2/models/m1/infer", {"inputs": [5]}).json()["outputs"] == 500
        answer = ask(client, "/v2/models/far/infer", {"inputs": [5]}).json()
        assert answer == {"post": {"inputs": [5]}}
