"""Models that are loaded when their first request comes, as clients see them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.client import Reply, in_parallel
from support.processes import free_port
from support.server import Server, ServerPool, by_lane, manifest, unique_name
from support.waiting import eventually

pytestmark = pytest.mark.better_than_mms

#: Leaves a file for each process that loads it.
_COUNTED = """
import os, pathlib
(pathlib.Path({folder!r}) / f"load-{{os.getpid()}}").touch()
"""
_OK = _COUNTED + "def handle(data, context):\n    return data and ['OK'] * len(data)\n"
_BROKEN = _COUNTED + "raise RuntimeError('no such weights')\n"
#: What contract these are written to shows only when they have run.
_HIDDEN_COMPONENT = """
def _make():
    from seldon_core.user_model import SeldonComponent
    return type("Component", (SeldonComponent,), {"predict": lambda self, X, names, meta=None: X})
globals()["Component"] = _make()
"""
_HIDDEN_SERVER = """
def _make():
    import mlrun
    members = {"load": lambda self: None, "predict": lambda self, body: body["inputs"]}
    return type("Model", (mlrun.serving.V2ModelServer,), {**members, "__module__": __name__})
globals()["Model"] = _make()
"""


@pytest.fixture(scope="module")
def lazy(servers: ServerPool) -> Iterator[Any]:
    """Servers whose models are lazy, by lane."""

    def make(directory: Path, lane: str) -> Server:
        settings = {
            "lane": lane,
            "lazy_load": "true",
            "load_models": "noop",
            "default_workers_per_model": "1",
            "grpc_address": f"grpc://127.0.0.1:{free_port()}",
            "state_file": str(directory / "state"),
        }
        return Server(directory, settings)

    yield from by_lane(servers, make)


def _register(server: Server, source: str, folder: Path, **options: object) -> str:
    name = unique_name("lazy")
    server.write_model(name, source.format(folder=str(folder)), manifest(name))
    reply = server.register(name, **options)
    assert (reply.status, reply.status_text) == (200, f'Model "{name}" registered'), reply
    return name


def _loads(folder: Path) -> int:
    return len(list(folder.glob("load-*")))


def _ask(server: Server, name: str) -> Reply:
    return server.inference.post(f"/predictions/{name}", b"x")


@pytest.mark.edge
def test_fifty_clients_of_a_sleeping_model_share_one_load(
    lazy: Any, lane: str, scratch: Path
) -> None:
    server = lazy(lane)
    name = _register(server, _OK, scratch, initial_workers=1, synchronous="true")
    assert server.describe(name)["workers"] == []
    replies = in_parallel([lambda: _ask(server, name)] * 50)
    assert {(reply.status, reply.text) for reply in replies} == {(200, "OK")}
    assert _loads(scratch) == 1


@pytest.mark.edge
def test_a_failed_load_is_told_and_not_tried_again_by_each_request(
    lazy: Any, lane: str, scratch: Path
) -> None:
    server = lazy(lane)
    name = _register(server, _BROKEN, scratch)
    for _ in range(20):
        reply = _ask(server, name)
        assert reply.status == 503, reply
        assert "RuntimeError: no such weights" in reply.text
        assert int(reply.header("retry-after") or 0) >= 1
    assert _loads(scratch) < 5
    ready = server.inference.get(f"/models/{name}/ready")
    assert ready.status in (200, 503)
    server.unregister(name)


def test_a_server_of_sleeping_models_is_healthy_and_ready(lazy: Any, scratch: Path) -> None:
    server = lazy("on")
    name = _register(server, _OK, scratch)
    assert server.inference.get("/ping").json() == {"status": "Healthy"}
    for path in ("/readyz", "/startupz", f"/models/{name}/ready"):
        assert server.inference.get(path).status == 200, path
    assert _loads(scratch) == 0


def test_a_model_that_is_scaled_to_nothing_by_hand_keeps_its_503(lazy: Any, scratch: Path) -> None:
    server = lazy("on")
    name = _register(server, _OK, scratch)
    server.management.put(f"/models/{name}?min_worker=0&max_worker=0&synchronous=true")
    reply = _ask(server, name)
    assert reply.status == 503
    assert reply.json()["message"].startswith("No worker is available to serve request for model")
    server.management.put(f"/models/{name}?min_worker=0&max_worker=1&synchronous=true")
    assert _ask(server, name).status == 200


_COMPONENT = "class Component:\n    def predict(self, X, names, meta=None):\n        return X\n"
_SERVER = """
import mlrun
class Model(mlrun.serving.V2ModelServer):
    def load(self):
        pass
    def predict(self, body):
        return body["inputs"]
"""


@pytest.mark.parametrize(
    ("source", "handler", "path", "body"),
    [
        (_COMPONENT, "Component", "/seldon/{}/api/v1.0/predictions", {"data": {"ndarray": [[1]]}}),
        (
            _HIDDEN_COMPONENT,
            "Component",
            "/seldon/{}/api/v1.0/predictions",
            {"data": {"ndarray": [[1]]}},
        ),
        (_SERVER, "Model", "/v2/models/{}/infer", {"inputs": [1]}),
        (_HIDDEN_SERVER, "Model", "/v2/models/{}/infer", {"inputs": [1]}),
    ],
    ids=["seldon", "seldon that its source hides", "mlrun", "mlrun that its source hides"],
)
def test_a_request_of_each_protocol_wakes_its_model(
    lazy: Any, source: str, handler: str, path: str, body: object
) -> None:
    server = lazy("on")
    name = unique_name("lazy")
    server.write_model(name, source, manifest(name, f"service:{handler}"))
    assert server.register(name).status == 200
    reply = server.inference.post_json(path.format(name), body)
    assert reply.status == 200, reply
    server.unregister(name)


def test_a_call_of_grpc_wakes_its_model(lazy: Any) -> None:
    import grpc

    from mms.interfaces.seldon.codec.messages import SeldonMessage

    server = lazy("on")
    name = unique_name("lazy")
    server.write_model(name, _COMPONENT, manifest(name, "service:Component"))
    assert server.register(name).status == 200
    address = server.settings["grpc_address"].removeprefix("grpc://")
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary(
            "/seldon.protos.Seldon/Predict",
            request_serializer=SeldonMessage.SerializeToString,
            response_deserializer=SeldonMessage.FromString,
        )
        answer = call(SeldonMessage(strData="x"), metadata=(("seldon", name),), timeout=20)
    assert answer.strData == "x"
    server.unregister(name)


def test_a_restart_keeps_lazy_models_asleep(
    servers: ServerPool, start_server: Any, scratch: Path
) -> None:
    directory = servers.new_directory()
    settings = {"state_file": str(directory / "state")}
    server = start_server(settings, directory=directory)
    name = _register(server, _OK, scratch, initial_workers=2, lazy_load="true")
    assert _ask(server, name).status == 200
    eventually("both are up", lambda: _loads(scratch) == 2)
    server.stop()
    server = start_server(settings, directory=directory)
    assert server.describe(name)["workers"] == []
    assert _loads(scratch) == 2
    assert _ask(server, name).status == 200
    assert len(server.describe(name)["workers"]) == 2
