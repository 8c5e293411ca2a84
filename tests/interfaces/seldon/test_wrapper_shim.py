"""The Flask application that users' own tests of their components ask for."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SHIM = (
    Path(__file__).resolve().parents[3]
    / "mms"
    / "interfaces"
    / "seldon"
    / "packages"
    / "seldon_core"
)


@pytest.fixture
def make_client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any], Any]]:
    pytest.importorskip("flask", reason="Flask is what the application is made with")
    monkeypatch.syspath_prepend(str(SHIM))
    wrapper = importlib.import_module("seldon_core.wrapper")
    metrics = importlib.import_module("seldon_core.metrics")
    yield lambda model: wrapper.get_rest_microservice(model, metrics.SeldonMetrics()).test_client()
    for name in [name for name in sys.modules if name.split(".")[0] == "seldon_core"]:
        del sys.modules[name]


class Doubler:
    def predict(self, X: Any, names: Any, meta: Any = None) -> Any:
        if isinstance(X, str):
            raise ValueError("no text, please")
        return X * 2

    def send_feedback(self, features: Any, names: Any, reward: float, truth: Any) -> Any:
        return [reward]


@pytest.mark.parametrize("path", ["/predict", "/api/v1.0/predictions", "/api/v0.1/predictions"])
def test_json_is_answered_as_by_the_server(make_client: Callable[[Any], Any], path: str) -> None:
    answer = make_client(Doubler()).post(path, json={"data": {"ndarray": [[1, 2]]}})
    assert answer.status_code == 200
    assert answer.json["data"]["ndarray"] == [[2, 4]]


def test_a_form_and_a_query_carry_json_too(make_client: Callable[[Any], Any]) -> None:
    client = make_client(Doubler())
    text = '{"data":{"ndarray":[1]}}'
    assert client.post("/predict", data={"json": text}).json["data"]["ndarray"] == [2]
    assert client.get("/predict", query_string={"json": text}).json["data"]["ndarray"] == [2]


def test_an_error_has_seldon_s_form(make_client: Callable[[Any], Any]) -> None:
    answer = make_client(Doubler()).post("/predict", json={"strData": "x"})
    assert answer.status_code == 500
    assert answer.json["status"]["info"] == "no text, please"


def test_feedback_and_health_are_served(make_client: Callable[[Any], Any]) -> None:
    client = make_client(Doubler())
    request = {"data": {"ndarray": [[1]]}}
    answer = client.post("/send-feedback", json={"request": request, "reward": 0.5})
    assert answer.json["data"] == {"ndarray": [0.5]}
    assert client.get("/health/ping").text == "pong"
    assert client.get("/health/status").status_code == 200


class Counting(Doubler):
    def metrics(self) -> Any:
        return [
            {"type": "COUNTER", "key": "calls", "value": 1},
            {"type": "TIMER", "key": "took", "value": 20.2, "tags": {"own": "a"}},
        ]

    def init_metadata(self) -> Any:
        return {"name": "own", "versions": ["1"]}


def test_metadata_of_the_environment_and_the_document_are_served(
    make_client: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_METADATA", "{platform: of-the-environment}")
    client = make_client(Counting())
    for path in ("/metadata", "/api/v1.0/metadata"):
        found = client.get(path).json
        assert (found["name"], found["platform"]) == ("own", "of-the-environment")
    assert "/predict" in client.get("/seldon.json").json["paths"]
    assert client.get("/api/v1.0/health/status").status_code == 200


def test_a_bare_list_is_no_message(make_client: Callable[[Any], Any]) -> None:
    assert make_client(Doubler()).post("/predict", json=[[1, 2]]).status_code == 400


def test_metrics_are_counted_and_exposed(make_client: Callable[[Any], Any]) -> None:
    wrapper = importlib.import_module("seldon_core.wrapper")
    metrics = importlib.import_module("seldon_core.metrics").SeldonMetrics()
    client = wrapper.get_rest_microservice(Counting(), metrics).test_client()
    for _ in range(2):
        client.post("/predict", json={"data": {"ndarray": [1]}})
    text = wrapper.get_metrics_microservice(metrics).test_client().get("/metrics").text
    assert 'method="predict"' in text
    (line,) = [line for line in text.splitlines() if line.startswith("calls_total")]
    assert line.endswith(" 2.0")
    assert any(line.startswith("took_count") and 'own="a"' in line for line in text.splitlines())
