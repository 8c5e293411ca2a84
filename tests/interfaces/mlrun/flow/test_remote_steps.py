"""Steps that call other servers: what is sent, what comes back, retries, errors."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest
from flow_harness import WAIT_S, Served

import mms.fetch.http_client as of_http_call
from mms.fetch.http_client import HttpCallError
from mms.interfaces.mlrun.errors import GraphError
from mms.interfaces.mlrun.graph.graph_document import new_graph
from mms.interfaces.mlrun.graph.steps.remote import BatchHttpRequests, RemoteStep
from mms.interfaces.mlrun.model.context import GraphContext

both_engines = pytest.mark.parametrize("engine", ["sync", "async"])


class Asked(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Peer:
    """A server that answers as it is told: a function of what is asked gives (status, body)."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answer: Callable[[Asked], tuple[int, bytes]] = lambda asked: (200, asked.body)
        peer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.command, self.path, headers, self.rfile.read(length))
                peer.asked.append(asked)
                status, body = peer.answer(asked)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = _any

            def log_message(self, *_: Any) -> None:
                """Nothing is logged."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                """A client that gave up waiting is no news."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(WAIT_S)


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.close()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between attempts, which are not made."""
    found: list[float] = []
    monkeypatch.setattr(of_http_call.time, "sleep", found.append)
    return found


def with_remote(engine: str, *step: Any, **options: Any) -> Served:
    graph = new_graph("flow", engine=engine)
    first = graph.to("Echo", "s1")
    remote = first.to(*step) if step else first.to("$remote", "remote", **options)
    remote.to("Echo", "s3").respond()
    return Served(graph)


def always(status: int, body: Any) -> Callable[[Asked], tuple[int, bytes]]:
    return lambda asked: (status, body if isinstance(body, bytes) else json.dumps(body).encode())


@both_engines
def test_get_sends_no_body(engine: str, peer: Peer) -> None:
    peer.answer = always(200, {"get": "ok"})
    assert with_remote(engine, url=peer.url, method="GET").run({"x": 5}) == {"get": "ok"}
    (asked,) = peer.asked
    assert (asked.method, asked.path, asked.body) == ("GET", "/", b"")


@both_engines
def test_bytes_are_sent_as_they_are_with_the_events_id_and_path(engine: str, peer: Peer) -> None:
    peer.answer = always(200, b"my str")
    served = with_remote(engine, url=peer.url, subpath="data", return_json=False)
    assert served.run(b"req text", "/datapath", event_id="123") == b"my str"
    (asked,) = peer.asked
    assert (asked.method, asked.path, asked.body) == ("POST", "/data", b"req text")
    assert asked.headers["mlrun-event-id"] == "123"
    assert asked.headers["mlrun-event-path"] == "/datapath"


@both_engines
def test_other_bodies_are_sent_as_json(engine: str, peer: Peer) -> None:
    assert with_remote(engine, url=peer.url, subpath="json").run({"x": 5}) == {"x": 5}
    assert peer.asked[0].headers["content-type"] == "application/json"
    assert json.loads(peer.asked[0].body) == {"x": 5}


@both_engines
def test_the_path_of_the_event_is_the_subpath(engine: str, peer: Peer) -> None:
    with_remote(engine, url=peer.url, subpath="$path").run({"x": 5}, "/json")
    assert peer.asked[0].path == "/json"


@both_engines
def test_the_address_comes_from_an_expression(engine: str, peer: Peer) -> None:
    peer.answer = always(200, {"foo": "ok"})
    served = with_remote(engine, method="GET", url_expression="event['myurl']")
    assert served.run({"myurl": peer.url + "foo"}) == {"foo": "ok"}
    assert peer.asked[0].path == "/foo"


@both_engines
def test_expressions_and_paths_go_together(engine: str, peer: Peer) -> None:
    peer.answer = always(200, {"post": "ok"})
    step = RemoteStep(
        name="remote",
        url=peer.url,
        url_expression="endpoint + event['url']",
        body_expression="event['data']",
        input_path="req",
        result_path="resp",
    )
    body = {"req": {"url": "/dog", "data": {"x": 5}}}
    assert with_remote(engine, step).run(body) == {**body, "resp": {"post": "ok"}}
    assert (peer.asked[0].path, json.loads(peer.asked[0].body)) == ("/dog", {"x": 5})


@both_engines
def test_the_clients_headers_are_not_passed_on_and_the_steps_are(engine: str, peer: Peer) -> None:
    headers = {"X-Mine": "1"}
    served = with_remote(engine, url=peer.url, headers=headers)
    served.run({}, headers={"X-Dont-Propagate": "me"}, event_id="1")
    served.run({}, event_id="2")
    assert "x-dont-propagate" not in peer.asked[0].headers
    assert [asked.headers["x-mine"] for asked in peer.asked] == ["1", "1"]
    assert [asked.headers["mlrun-event-id"] for asked in peer.asked] == ["1", "2"]
    assert headers == {"X-Mine": "1"}


@both_engines
def test_a_status_of_500_is_an_error_after_all_attempts(engine: str, peer: Peer) -> None:
    peer.answer = always(500, b"Failed")
    served = with_remote(engine, url=peer.url, retries=0)
    with pytest.raises(HttpCallError, match="answered with 500: Failed"):
        served.run(b"tst")
    assert len(peer.asked) == 1


@both_engines
def test_a_status_of_500_is_asked_again(engine: str, peer: Peer, pauses: list[float]) -> None:
    peer.answer = lambda asked: (200 if len(peer.asked) > 3 else 503, b"1")
    assert with_remote(engine, url=peer.url, retries=3, backoff_factor=0.5).run(b"tst") == 1
    assert len(peer.asked) == 4
    assert pauses == [1.0, 2.0]


@both_engines
def test_a_status_of_400_is_an_error_at_once(engine: str, peer: Peer) -> None:
    peer.answer = always(400, {"error": "bad"})
    answer = with_remote(engine, url=peer.url).test({})
    assert answer.status_code == 400
    assert "was answered with 400" in answer.body
    assert len(peer.asked) == 1


@both_engines
def test_a_server_that_is_too_slow_is_an_error(engine: str, peer: Peer) -> None:
    is_over = threading.Event()

    def slow(asked: Asked) -> tuple[int, bytes]:
        is_over.wait(WAIT_S)
        return 200, b""

    peer.answer = slow
    served = with_remote(engine, url=peer.url, timeout=0.05, retries=3)
    try:
        with pytest.raises(TimeoutError, match=r"timed out after 0\.05 s"):
            served.run(b"tst")
    finally:
        is_over.set()
    assert len(peer.asked) == 1


def test_a_server_that_is_not_there_is_asked_again_and_then_an_error(pauses: list[float]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
    with pytest.raises(HttpCallError, match=f"POST {url}: .*refused"):
        with_remote("sync", url=url, retries=2).run({})
    assert pauses == [2.0]


def test_an_answer_that_is_no_json_says_what_to_do(peer: Peer) -> None:
    peer.answer = always(200, b"<html>")
    with pytest.raises(HttpCallError, match="return_json=False takes any bytes"):
        with_remote("sync", url=peer.url).run({})


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://somewhere/x", "/etc/passwd"])
def test_an_address_from_a_body_reads_no_files(url: str) -> None:
    served = with_remote("sync", method="GET", url_expression="event['url']")
    with pytest.raises(ValueError, match="must begin with http:// or https://"):
        served.run({"url": url})


def test_a_redirection_leads_to_no_files(peer: Peer) -> None:
    class Redirect(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", "file:///etc/passwd")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing is logged."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Redirect) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        with pytest.raises(HttpCallError, match="302"):
            with_remote("sync", url=url, method="GET", retries=0).run({})
        server.shutdown()
        thread.join(WAIT_S)


def test_a_step_without_an_address_is_refused() -> None:
    with pytest.raises(ValueError, match="step remote needs url or url_expression"):
        RemoteStep(name="remote")


def test_an_expression_that_is_none_is_refused_with_the_steps_name() -> None:
    with pytest.raises(GraphError, match="step remote: the expression event\\["):
        RemoteStep(name="remote", url_expression="event[")


def test_a_function_is_found_by_its_name(peer: Peer) -> None:
    context = GraphContext(parameters={"remote_endpoints": {"other": peer.url}})
    graph = new_graph("flow", engine="sync")
    graph.to("$remote", "remote", url="other")
    Served(graph, context=context).run({"a": 1})
    assert len(peer.asked) == 1


def test_a_remote_step_is_a_route(peer: Peer) -> None:
    peer.answer = always(200, {"outputs": [7]})
    router = new_graph("router")
    router.add_route("m1", class_name="$remote", url=peer.url, subpath="$path")
    assert Served(router).run({"inputs": [1]}, "/v2/models/m1/infer") == {"outputs": [7]}
    assert peer.asked[0].path == "/infer"


def test_the_document_of_a_remote_step() -> None:
    step = RemoteStep(
        name="remote_echo",
        url="/url",
        method="GET",
        input_path="req",
        result_path="resp",
        retries=4,
    )
    assert step.to_dict() == {
        "name": "remote_echo",
        "class_args": {"method": "GET", "return_json": True, "url": "/url", "retries": 4},
        "class_name": "mlrun.serving.remote.RemoteStep",
        "input_path": "req",
        "result_path": "resp",
    }


def test_requests_about_a_list_are_answered_in_its_order(peer: Peer) -> None:
    step = BatchHttpRequests(
        url_expression="event['url']",
        body_expression="event['data']",
        method="POST",
        input_path="req",
        result_path="resp",
        max_in_flight=3,
    )
    graph = new_graph("flow")
    graph.to(step).respond()
    request = [{"url": f"{peer.url}{number}", "data": number} for number in range(10)]
    assert Served(graph).run({"req": request})["resp"] == list(range(10))
    assert {asked.path for asked in peer.asked} == {f"/{number}" for number in range(10)}


def test_requests_about_a_list_are_asked_again_one_by_one(peer: Peer, pauses: list[float]) -> None:
    counts: dict[str, int] = {}

    def fails_first(asked: Asked) -> tuple[int, bytes]:
        counts[asked.path] = counts.get(asked.path, 0) + 1
        return (500 if counts[asked.path] == 1 else 200), asked.body

    peer.answer = fails_first
    graph = new_graph("flow")
    step = BatchHttpRequests(url=peer.url, url_expression="f'{endpoint}/{event}'", retries=1)
    graph.to(step).respond()
    assert Served(graph).run([0, 1]) == [0, 1]
    assert counts == {"/0": 2, "/1": 2}


def test_requests_about_what_is_no_list_are_refused(peer: Peer) -> None:
    graph = new_graph("flow")
    graph.to("mlrun.serving.remote.BatchHttpRequests", "batch", url=peer.url).respond()
    with pytest.raises(TypeError, match="step batch: the body must be a list, but is of type dict"):
        Served(graph).run({})
