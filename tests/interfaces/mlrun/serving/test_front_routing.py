"""What routers in the front ask of their models, and what they make of the answers."""

from __future__ import annotations

import asyncio
import json
import time
import types
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from archiver import Component, Manifest
from mms.bodies import json_text
from mms.bodies.large_json import LOOP_BYTES
from mms.core import ModelConfig, ModelVersion, Request
from mms.errors import ServiceUnavailable
from mms.interfaces.mlrun.front.calls import RouteCalls, RoutedRequest
from mms.interfaces.mlrun.front.router import MlrunRouter
from mms.interfaces.mlrun.front.routing import FrontRouting
from mms.repository import FetchedArchive
from mms.serving.model_client import ModelClient, PendingAnswer
from mms.serving.options import RegisterOptions
from mms.serving.registration.model_options import ModelOptions
from mms.wire import ModelOperation

JSON = b"content-type: application/json\r\n"


class Models:
    """Answers as models of a server: by name a value for JSON, or (status, text), or an error of the front."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str, str, bytes]] = []
        self.cancelled: list[Request] = []

    def submit_nested(self, request: Request) -> None:
        asked = RoutedRequest(request)
        name = request.name if request.version is None else f"{request.name}:{request.version}"
        self.asked.append((name, asked.method, asked.operation, bytes(request.body)))
        answer = self.answers[name]
        if isinstance(answer, ServiceUnavailable):
            request.fail(answer)
        elif isinstance(answer, tuple):
            status, text = answer
            request.answer(status, b"?", b"content-type: text/plain\r\n", text.encode())
        else:
            request.answer(200, b"OK", JSON, json.dumps(answer).encode())

    def cancel(self, request: Request) -> None:
        self.cancelled.append(request)

    def is_ready(self, name: str, version: str | None = None) -> bool:
        return name in self.answers


class Client:
    """Where the answer to a client comes."""

    def __init__(self) -> None:
        self.status, self.headers, self.body = 0, b"", b""

    def answer(
        self, request: Request, status: int, phrase: bytes, headers: bytes, body: Any
    ) -> None:
        self.status, self.headers, self.body = status, bytes(headers), bytes(body)

    def fail(self, request: Request, error: Any) -> None:
        self.status, self.body = error.http_status, error.message.encode()

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        assert (self.status, self.headers) == (200, JSON), (self.status, self.body)
        return json.loads(self.body)


def routing_of(router: str, models: Models, **class_args: Any) -> FrontRouting:
    targets = {
        key: (key.partition(":")[0], key.partition(":")[2] or None) for key in models.answers
    }
    return FrontRouting.of(router, RouteCalls(ModelClient(models), targets), class_args)


def ask(
    routing: FrontRouting, body: Any = None, operation: str = "infer", method: str = "POST"
) -> Client:
    """What a client gets."""
    client = Client()
    content = b"" if body is None else json.dumps(body).encode()
    request = Request(
        id=b"id",
        name="router",
        version=None,
        passes_query=True,
        content_type=b"application/json",
        query=b"",
        headers=b"MLRUN-EVENT-ID\nE1\nContent-Length\n9",
        body=content,
        reply=client,
        received_at=time.monotonic(),
        deadline=time.monotonic() + 10,
        operation=ModelOperation(operation, method),
    )
    router = MlrunRouter(
        model=ModelVersion("router", None, ModelConfig()),
        url="",
        archive=FetchedArchive(Path(), None, True, None),
        manifest=Manifest({}),
        handler=routing.router_class,
        runtime="python",
        options=ModelOptions("mlrun", Component(), None),
        effective=RegisterOptions(),
        routing=routing,
        is_strict=False,
    )
    asyncio.run(router.answer(request))
    return client


def outputs(*values: Any) -> dict[str, Any]:
    return {"id": "x", "model_name": "m", "outputs": list(values)}


# A router of models


def test_a_body_names_the_model_or_it_is_the_first() -> None:
    models = Models({"m1": outputs(1), "m3:v2": outputs(3)})
    routing = routing_of("ModelRouter", models)
    assert ask(routing, {"inputs": []}, "").json() == outputs(1)
    assert ask(routing, {"inputs": [], "model": "m3:v2"}, "").json() == outputs(3)
    assert [name for name, *_ in models.asked] == ["m1", "m3:v2"]
    refused = ask(routing, {"model": "m9"}, "")
    assert (refused.status, refused.text) == (
        400,
        "ValueError: model m9 doesnt exist, available models: m1 | m3:v2",
    )


def test_a_models_own_answer_goes_to_the_client_as_it_is() -> None:
    routing = routing_of("ModelRouter", Models({"m1": (409, "MLRunConflictError: taken")}))
    client = ask(routing, {"inputs": []}, "")
    assert (client.status, client.text) == (409, "MLRunConflictError: taken")


def test_a_reply_of_a_model_that_is_lost_is_an_error_of_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lose(*arguments: Any) -> None:
        raise OSError("lost")

    for name in ("answer", "fail"):
        monkeypatch.setattr(PendingAnswer, name, lose)
    client = ask(routing_of("ModelRouter", Models({"m1": outputs(1)})), {"inputs": []}, "")
    assert client.status == 500


# All at once


def test_answers_are_merged_over_the_request_and_failures_are_named() -> None:
    models = Models({"a": {"x": 1}, "b": {"x": 2, "y": 3}, "c": (400, "ValueError: no")})
    merged = ask(routing_of("ParallelRun", models, extend_event=True), {"given": 0}).json()
    assert merged == {"given": 0, "x": 2, "y": 3, "failed": {"c": "ValueError: no"}}
    assert "given" not in ask(routing_of("ParallelRun", models), {"given": 0}).json()


def test_all_models_get_the_same_request_under_the_clients_id() -> None:
    models = Models({"a": outputs(1.5), "b": outputs(2.5)})
    answer = ask(routing_of("VotingEnsemble", models), {"inputs": [1]}).json()
    assert answer == {
        "id": "E1",
        "model_name": "VotingEnsemble",
        "outputs": [2.0],
        "model_version": "v1",
    }
    body = b'{"inputs": [1]}'
    assert models.asked == [("a", "POST", "infer", body), ("b", "POST", "infer", body)]


def test_where_all_fail_by_one_status_that_is_the_answers() -> None:
    busy = ServiceUnavailable("no workers")
    client = ask(routing_of("VotingEnsemble", Models({"a": busy, "b": busy})), {"inputs": [1]})
    told = "a: ServiceUnavailable: no workers; b: ServiceUnavailable: no workers"
    assert client.text == f"RuntimeError: all models of VotingEnsemble failed: {told}"
    assert client.status == 503


@pytest.mark.parametrize(
    ("router", "arguments", "told"),
    [
        ("VotingEnsemble", {"weights": {"c": 1}}, "name models that it does not have: c"),
        ("VotingEnsemble", {"vote_type": "loudest"}, "vote_type is 'loudest', must be one of"),
        ("CanaryRouter", {"weights": {"a": -1}}, "a"),
        ("BanditRouter", {"strategy": "luck"}, "luck"),
    ],
)
def test_arguments_that_cannot_be_are_refused(
    router: str, arguments: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        routing_of(router, Models({"a": {}, "b": {}}), **arguments)


def test_an_operation_that_a_router_does_not_have_is_refused() -> None:
    client = ask(routing_of("CanaryRouter", Models({"a": {}}), weights={"a": 1}), {}, "reward")
    assert (client.status, client.text) == (
        400,
        "ValueError: illegal model operation reward, method=POST",
    )


# One of several


def test_a_bandit_leaves_a_model_that_fails() -> None:
    models = Models({"a": (400, "ValueError: no"), "b": outputs(1)})
    routing = routing_of("BanditRouter", models, epsilon=0.0, seed=1)
    reward = {"model": "b", "reward": 1}
    assert ask(routing, reward, "reward").json()["model"] == "b"
    asked = Counter(ask(routing, {"inputs": [1]}).status for _ in range(20))
    assert asked[200] >= 19
    arms = ask(routing, None, "", "GET").json()["arms"]
    assert arms["b"]["rewards"] == 1


@pytest.mark.parametrize(
    ("router", "class_args"),
    [
        ("VotingEnsemble", {"vote_type": "regression"}),
        ("CanaryRouter", {"sticky_path": "user"}),
        ("ParallelRun", {"extend_event": True}),
        ("BanditRouter", {}),
    ],
)
def test_no_router_has_a_large_body_or_answer_parsed_at_once(
    router: str, class_args: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    def load(text: bytes) -> Any:
        sizes.append(len(text))
        return orjson.loads(text)

    monkeypatch.setattr(
        json_text, "_orjson", types.SimpleNamespace(loads=load, dumps=orjson.dumps), raising=True
    )
    values = [float(n) for n in range(60_000)]
    models = Models({"a": outputs(*values), "b": outputs(*values)})
    told = ask(routing_of(router, models, **class_args), {"user": "u", "id": "i", "inputs": values})
    assert told.status == 200 and len(told.body) > 5 * LOOP_BYTES
    assert sizes and max(sizes) < 3 * LOOP_BYTES
