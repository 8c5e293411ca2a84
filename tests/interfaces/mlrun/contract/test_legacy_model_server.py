"""Models of MLRun's first protocol."""

from __future__ import annotations

from typing import Any

import pytest

from mms.interfaces.mlrun.errors import MLRunNotFoundError, status_of
from mms.interfaces.mlrun.model.context import GraphContext
from mms.interfaces.mlrun.model.event import MockEvent
from mms.interfaces.mlrun.model.legacy_model_server import MLModelServer


class Old(MLModelServer):
    def load(self) -> None:
        self.model = 2

    def preprocess(self, request: Any) -> Any:  # type: ignore[override]
        return request

    def predict(self, request: Any) -> Any:
        return [value * 2 for value in request["instances"]]

    def explain(self, request: Any) -> Any:
        return "because"

    def postprocess(self, request: Any) -> Any:
        return {"result": request}


def loaded() -> Old:
    model = Old("old", model_dir="/models/old")
    model.context = GraphContext(level="error")
    model.post_init()
    return model


def ask(body: Any, path: str, method: str = "POST") -> Any:
    return loaded().do_event(MockEvent(body=body, path=path, method=method)).body


def test_the_answer_is_what_the_model_returns() -> None:
    assert ask({"instances": [5]}, "predict") == {"result": [10]}
    assert ask({"instances": [5]}, "") == {"result": [10]}
    assert ask({"instances": [5]}, "explain") == {"result": "because"}


def test_its_folder_is_its_path() -> None:
    model = loaded()
    assert (model.model_dir, model.model_path) == ("/models/old", "/models/old")


def test_a_body_without_instances_is_refused() -> None:
    with pytest.raises(Exception, match='Expected key "instances" in request body'):
        ask({"inputs": [5]}, "predict")


def test_an_unknown_operation_is_not_found() -> None:
    with pytest.raises(MLRunNotFoundError, match="no operation xx, it has predict, explain") as got:
        ask({"instances": [5]}, "xx")
    assert status_of(got.value) == 404


def test_it_says_whether_it_is_ready() -> None:
    assert ask(None, "ready", "GET").status_code == 200


def test_a_preprocess_with_an_operation_gets_it() -> None:
    class Newer(Old):
        def preprocess(self, request: Any, operation: str = "") -> Any:
            return {"instances": [operation]}

    model = Newer("old")
    model.context = GraphContext(level="error")
    model.post_init()
    event = MockEvent(body={}, path="predict", method="POST")
    assert model.do_event(event).body == {"result": ["predictpredict"]}
