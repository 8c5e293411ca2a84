"""Endpoint plugins: routes that others bring along."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.server import Server, ServerDidNotStart, ServerPool

pytestmark = pytest.mark.better_than_mms

SOURCE = """
import json

WORDS = "words"


class Echo:
    url_pattern = "own-echo"
    endpoint_type = "INFERENCE"

    def do_get(self, request, response, context):
        response.content_type = "application/json"
        shown = {
            "uri": request.uri,
            "names": request.header_names,
            "parameters": request.parameters,
            "config": context.config,
            "models": {
                name: [model.name, model.url, model.handler, [w.is_running for w in model.workers]]
                for name, model in context.models.items()
            },
        }
        response.body.write(json.dumps(shown).encode())

    def do_post(self, request, response, context):
        response.set_status(201, "Made")
        response.set_header("X-Own", request.content_type or "none")
        response.body.write(request.body.read()[::-1])

    def do_put(self, request, response, context):
        raise {"os": OSError, "memory": MemoryError}.get(request.body.read().decode(), KeyError)("x")


class Managed:
    url_pattern = "own-managed"
    endpoint_type = "MANAGEMENT"

    def do_get(self, request, response, context):
        response.body.write(b"managed")


class Ping:
    url_pattern = "ping"
    endpoint_type = "INFERENCE"

    def do_get(self, request, response, context):
        response.body.write(b"pong")


endpoints = [Echo(), Managed(), Ping()]
"""


@pytest.fixture(scope="module")
def plugged(servers: ServerPool) -> Iterator[Server]:
    folder = servers.new_directory()
    folder.mkdir()
    (folder / "own.py").write_text(SOURCE)
    (folder / "endpoint.jar").write_bytes(b"PK")
    packages = folder / "packages"
    metadata = packages / "own_plugin-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: own-plugin\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[mms.endpoints]\necho = own_plugin:Echo\n")
    (packages / "own_plugin.py").write_text(SOURCE.replace("own-echo", "installed-echo"))
    settings = {
        "plugins_path": str(folder),
        "own_setting": "visible",
        "load_models": "noop",
        "default_workers_per_model": "1",
    }
    environment = {"PYTHONPATH": str(packages)}
    server = Server(servers.new_directory(), settings, environment=environment).start()
    yield server
    server.stop()


def test_a_plugin_answers_with_the_common_headers(plugged: Server) -> None:
    reply = plugged.inference.get("/own-echo?a=1&a=2&b=", headers={"X-Mine": "x"})
    assert (reply.status, reply.header("content-type")) == (200, "application/json")
    assert reply.header("x-request-id")
    assert reply.header("pragma") == "no-cache"
    shown = reply.json()
    assert shown["uri"] == "/own-echo?a=1&a=2&b="
    assert "X-Mine" in shown["names"]
    assert shown["parameters"] == {"a": ["1", "2"], "b": [""]}


def test_a_plugin_sees_the_settings_and_the_models(plugged: Server) -> None:
    assert plugged.inference.get("/predictions/noop").status == 200
    shown = plugged.inference.get("/own-echo").json()
    assert shown["config"]["own_setting"] == "visible"
    assert shown["models"] == {"noop": ["noop", "noop", "service:handle", [True]]}


def test_a_plugin_sets_status_headers_and_body(plugged: Server) -> None:
    reply = plugged.inference.post("/own-echo", b"abc", content_type="text/own")
    assert (reply.status, reply.reason, reply.body) == (201, "Made", b"cba")
    assert reply.header("x-own") == "text/own"


def test_a_plugin_comes_before_the_servers_own_routes(plugged: Server) -> None:
    assert plugged.inference.get("/ping").body == b"pong"


def test_a_plugin_belongs_to_its_listener(plugged: Server) -> None:
    assert plugged.management.get("/own-managed").body == b"managed"
    assert plugged.inference.get("/own-managed").status == 404
    assert plugged.management.get("/own-echo").status == 404


@pytest.mark.parametrize(
    ("method", "body", "status", "kind", "message"),
    [
        (
            "DELETE",
            b"",
            500,
            "ModelServerEndpointException",
            "No implementation found .. Default implementation invoked",
        ),
        ("PATCH", b"", 500, None, "Unknown exception"),
        ("PUT", b"key", 500, "KeyError", "Unknown exception"),
        ("PUT", b"os", 500, None, "I/O error while running the custom endpoint"),
        ("PUT", b"memory", 507, None, "Out of memory"),
    ],
)
def test_a_failing_plugin_is_told(
    plugged: Server, method: str, body: bytes, status: int, kind: str | None, message: str
) -> None:
    reply = plugged.inference.request(method, "/own-echo", body)
    assert (reply.status, reply.json()["code"]) == (status, status)
    assert reply.json()["message"] == message
    if kind is not None:
        assert reply.json()["type"] == kind


def test_an_installed_plugin_is_found(plugged: Server) -> None:
    assert plugged.inference.get("/installed-echo").status == 200


def test_jars_do_not_stop_the_start_and_are_warned_about(plugged: Server) -> None:
    assert any("[WARN ]" in line and "JAR" in line for line in plugged.output().splitlines())


def test_two_plugins_for_one_pattern_end_the_start(
    start_server: Callable[..., Server], scratch: Path
) -> None:
    folder = scratch / "plugins"
    folder.mkdir()
    for name in ("one.py", "two.py"):
        (folder / name).write_text(SOURCE)
    with pytest.raises(ServerDidNotStart) as caught:
        start_server({"plugins_path": str(folder)})
    assert 'Multiple plugins found for endpoint "own-echo"' in caught.value.output
    assert caught.value.exit_code == 1
