"""Models whose code cannot be loaded: their clients are told so at once, in whatever protocol they ask."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from support.background import Background
from support.client import Reply
from support.server import Server, manifest, unique_name
from support.waiting import eventually

pytestmark = pytest.mark.better_than_mms

REASON = "RuntimeError: no such weights"
_HANDLER = "def handle(data, context):\n    raise RuntimeError('no such weights')\n"
_COMPONENT = """
class Component:
    def __init__(self):
        raise RuntimeError('no such weights')
    def predict(self, X, names):
        return X
"""
_SERVER = """
import mlrun
class Model(mlrun.serving.V2ModelServer):
    def load(self):
        raise RuntimeError('no such weights')
    def predict(self, body):
        return body["inputs"]
"""
CODES = {
    "mms": (_HANDLER, "service:handle"),
    "seldon": (_COMPONENT, "service:Component"),
    "mlrun": (_SERVER, "service:Model"),
}
_TENSOR = {"data": {"ndarray": [[1]]}}


def _register(server: Server, interface: str, **options: object) -> str:
    source, handler = CODES[interface]
    name = unique_name(f"broken-{interface}")
    server.write_model(name, source, manifest(name, handler))
    reply = server.register(name, initial_workers=2, synchronous="false", **options)
    assert reply.status == 202, reply
    return name


def _has_failed(server: Server, name: str) -> bool:
    workers = server.describe(name)["workers"]
    return bool(workers) and all(worker["state"] == "BACKOFF" for worker in workers)


@pytest.fixture
def broken(main_server: Server) -> Iterator[Callable[[str], str]]:
    """Registers a model of an interface, none of whose workers can come up, and waits until that is so."""
    names: list[str] = []

    def make(interface: str) -> str:
        names.append(_register(main_server, interface))
        eventually(f"{names[-1]} to fail", lambda: _has_failed(main_server, names[-1]))
        return names[-1]

    yield make
    for name in names:
        assert main_server.unregister(name).status == 200


def _ask(server: Server, path: str, body: object) -> Reply:
    asked = Background(lambda: server.inference.post_json(path, body))
    return asked.result(20)


def _check(reply: Reply) -> None:
    assert reply.status == 503, reply
    assert REASON in reply.text
    assert 1 <= int(reply.header("retry-after") or 0) <= 60


PATHS = {
    "mms": [("/predictions/{}", {}), ("/{}/predict", {}), ("/invocations?model_name={}", {})],
    "seldon": [("/seldon/{}/api/v1.0/predictions", _TENSOR), ("/predictions/{}", _TENSOR)],
    "mlrun": [("/v2/models/{}/infer", {"inputs": [1]}), ("/predictions/{}", {"inputs": [1]})],
}


@pytest.mark.parametrize(
    ("interface", "path", "body"),
    [(interface, path, body) for interface, routes in PATHS.items() for path, body in routes],
)
def test_a_request_is_answered_at_once_with_the_reason_and_when_to_come_back(
    main_server: Server, broken: Callable[[str], str], interface: str, path: str, body: object
) -> None:
    name = broken(interface)
    _check(_ask(main_server, path.format(name), body))


def test_a_request_that_waits_for_the_first_load_is_answered_when_that_has_failed(
    main_server: Server,
) -> None:
    name = _register(main_server, "mms")
    _check(_ask(main_server, f"/predictions/{name}", {}))
    main_server.unregister(name)


def test_a_graph_answers_with_the_reason_of_its_node(
    main_server: Server, broken: Callable[[str], str]
) -> None:
    node = broken("seldon")
    name = unique_name("graph")
    document = {"name": name, "graph": {"name": node, "type": "MODEL"}}
    (main_server.store / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")
    registered = main_server.register(f"{name}.json", model_name=name, initial_workers=0)
    assert registered.status == 200, registered
    _check(_ask(main_server, f"/seldon/{name}/api/v1.0/predictions", _TENSOR))
    assert main_server.unregister(name).status == 200


def test_a_model_that_loads_at_a_later_try_answers_again(main_server: Server) -> None:
    name = unique_name("late")
    source = (
        "import os\ndef handle(data, context):\n"
        "    if not os.path.exists({!r}):\n        raise RuntimeError('no such weights')\n"
        "    return ['OK'] * len(data or [1])\n"
    )
    weights = main_server.directory / unique_name("weights")
    main_server.write_model(name, source.format(str(weights)), manifest(name))
    main_server.register(name, initial_workers=1, synchronous="false")
    eventually(f"{name} to fail", lambda: _has_failed(main_server, name))
    weights.touch()
    eventually(
        f"{name} to answer",
        lambda: main_server.inference.post(f"/predictions/{name}", b"x").status == 200,
    )
    main_server.unregister(name)
