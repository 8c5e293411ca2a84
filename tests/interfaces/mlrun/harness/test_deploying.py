"""Functions brought to a server: what is asked of its management API, played here."""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from harness_classes import routed
from support.processes import free_port, server_command

from mms.interfaces.mlrun import ServingFunction, deploy_function, new_function
from mms.interfaces.mlrun.errors import MLRunInvalidArgumentError, MLRunRuntimeError
from mms.interfaces.mlrun.spec.serving_spec import read_spec


class Server(ThreadingHTTPServer):
    """Both APIs of a server, on one port."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, str, Any]] = []
        self.models: set[str] = set()
        self.refusal = ""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path.removeprefix("/models/")
        self._answer(200 if self.path.startswith("/models?") or name in self.server.models else 404)

    def do_DELETE(self) -> None:
        self.server.models.discard(self.path.removeprefix("/models/"))
        self._answer(200)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/models":
            self._answer(200, body, {"outputs": body["inputs"], "path": self.path})
        elif self.server.refusal:
            self._answer(400, body, {"message": self.server.refusal})
        else:
            self.server.models.add(body["model_name"])
            self._answer(200, body)

    def _answer(self, status: int, asked: Any = None, document: Any = None) -> None:
        self.server.asked.append((self.command, self.path, asked))
        text = json.dumps(document or {"status": "done"}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    played = Server()
    thread = threading.Thread(target=played.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield played
    played.shutdown()
    thread.join()
    played.server_close()


def a_function() -> ServingFunction:
    return routed().with_code(body="class Mul: ...")


def addresses(server: Server) -> dict[str, str]:
    return {"management_address": server.address, "inference_address": server.address}


def test_deploying_registers_the_functions_spec(server: Server) -> None:
    function = a_function()
    address = function.deploy(**addresses(server), workers=2)  # type: ignore[arg-type]
    method, path, body = server.asked[-1]
    assert (method, path, address) == ("POST", "/models", server.address)
    assert body["serving_spec"] == json.loads(json.dumps(function.to_serving_spec()))
    assert (body["model_name"], body["initial_workers"], body["synchronous"]) == ("tests", 2, True)


@pytest.mark.parametrize(
    ("spec", "http_workers", "expected"),
    [
        ({}, None, 1),
        ({"replicas": 3}, None, 3),
        ({"min_replicas": 2}, None, 2),
        ({"replicas": 3, "min_replicas": 2}, 4, 12),
        ({}, 4, 4),
    ],
)
def test_replicas_are_the_workers_of_each_model(
    server: Server, spec: dict[str, int], http_workers: int | None, expected: int
) -> None:
    function = a_function()
    function.with_http(workers=http_workers)
    vars(function.spec).update(spec)
    function.deploy(**addresses(server))  # type: ignore[arg-type]
    body = server.asked[-1][2]
    assert body["initial_workers"] == expected
    found = read_spec(body["serving_spec"])
    assert found.workers == (expected if spec or http_workers else None)
    function.deploy(**addresses(server), workers=5)  # type: ignore[arg-type]
    assert server.asked[-1][2]["initial_workers"] == 5


def test_a_readiness_timeout_goes_along(server: Server) -> None:
    function = a_function()
    function.spec.readiness_timeout = 300
    function.deploy(**addresses(server))  # type: ignore[arg-type]
    assert read_spec(server.asked[-1][2]["serving_spec"]).readiness_timeout == 300


def test_deploying_again_takes_the_place_of_the_first(server: Server) -> None:
    function = a_function()
    for _ in range(2):
        function.deploy(**addresses(server))  # type: ignore[arg-type]
    asked = [(method, path) for method, path, _ in server.asked if method != "GET"]
    assert asked == [("POST", "/models"), ("DELETE", "/models/tests"), ("POST", "/models")]


def test_addresses_may_come_from_variables(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMS_MANAGEMENT_ADDRESS", server.address)
    monkeypatch.setenv("MMS_INFERENCE_ADDRESS", "http://0.0.0.0:1234")
    function = a_function()
    deployed = deploy_function(function)
    assert deployed.outputs["endpoint"] == "http://127.0.0.1:1234"
    assert function.status.management_address == server.address


def test_a_deployed_function_is_invoked_where_it_is(server: Server) -> None:
    function = a_function()
    function.deploy(**addresses(server))  # type: ignore[arg-type]
    answer = function.invoke("/v2/models/m1/infer", {"inputs": [5]})
    assert answer == {"outputs": [5], "path": "/v2/models/tests/v2/models/m1/infer"}


def test_a_refusal_is_passed_on(server: Server) -> None:
    server.refusal = "class Mul was not found"
    with pytest.raises(MLRunRuntimeError, match="refused function tests: 400: .*Mul was not found"):
        a_function().deploy(**addresses(server))  # type: ignore[arg-type]


def test_an_address_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(MLRunInvalidArgumentError, match="localhost:1 is not an address"):
        routed().deploy(management_address="localhost:1")


def test_a_function_without_a_graph_is_not_deployed() -> None:
    with pytest.raises(
        MLRunInvalidArgumentError, match="cannot deploy function default/x without a graph"
    ):
        new_function("x").deploy()


def test_classes_that_no_file_has_cannot_be_deployed(server: Server) -> None:
    with pytest.raises(MLRunInvalidArgumentError, match=r"needs Mul: name its file"):
        routed().deploy(**addresses(server))  # type: ignore[arg-type]
    assert server.asked == []


def test_a_step_of_a_function_that_is_not_there_cannot_be_deployed(server: Server) -> None:
    function = a_function()
    function.spec.graph["m1"].function = "child"
    with pytest.raises(MLRunInvalidArgumentError, match="function child is named by a step"):
        function.deploy(**addresses(server))  # type: ignore[arg-type]
    function.add_child_function("child")
    function.deploy(**addresses(server))  # type: ignore[arg-type]
    assert server.models == {"tests"}


def test_a_function_of_built_in_and_importable_parts_needs_no_code(server: Server) -> None:
    function = new_function("x")
    graph = function.set_topology("flow", engine="sync")
    graph.to("$remote", "r", url=server.address).to(name="s", handler="json.dumps")
    graph["s"].to(name="t", handler="(event + '')").respond()
    function.deploy(**addresses(server))  # type: ignore[arg-type]
    assert server.models == {"x"}


def test_models_are_found_from_the_servers_folder(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    function = new_function("x").with_code(body="class Mul: ...")
    for key, path in (("near", "here"), ("far", "s3://b/m"), ("none", ""), ("gone", "there")):
        function.add_model(key, path, class_name="Mul")
    function.deploy(**addresses(server))  # type: ignore[arg-type]
    routes = server.asked[-1][2]["serving_spec"]["graph"]["routes"]
    paths = {key: route["class_args"]["model_path"] for key, route in routes.items()}
    assert paths == {
        "near": str(tmp_path / "here"),
        "far": "s3://b/m",
        "none": "",
        "gone": "there",
    }
    assert function.spec.graph["near"].class_args["model_path"] == "here"


MODEL = """
from mlrun.serving import V2ModelServer

class Mul(V2ModelServer):
    def load(self):
        pass

    def predict(self, body):
        return body["inputs"]
"""


def test_a_server_that_deploying_has_started_is_stopped_by_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    function = routed().with_code(body=MODEL)
    function.deploy(
        management_address=f"http://127.0.0.1:{free_port()}",
        inference_address=f"http://127.0.0.1:{free_port()}",
    )
    stopped = subprocess.run(
        [server_command(), "--stop"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (stopped.returncode, stopped.stdout) == (0, "Model server stopped.\n")
