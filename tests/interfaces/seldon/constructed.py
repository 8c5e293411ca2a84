"""Calls of the functions that components make answers with, for Seldon's package and the stand-in alike.

Run by a Python that has one of them as `seldon_core`; prints the answers as JSON.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import numpy as np

logging.disable(logging.CRITICAL)

if len(sys.argv) > 1:
    sys.path[:0] = sys.argv[1:]

from seldon_core import seldon_methods, user_model, utils  # noqa: E402  # which package, the path has said
from seldon_core.metrics import SeldonMetrics  # noqa: E402


class Model:
    def predict(self, X: Any, names: Any, meta: Any = None) -> Any:
        return X

    def transform_input(self, X: Any, names: Any) -> Any:
        return user_model.SeldonResponse(X, tags={"runtime": 1})

    def route(self, X: Any, names: Any) -> Any:
        return 1

    def aggregate(self, Xs: Any, names: Any) -> Any:
        return Xs[0]

    def send_feedback(self, X: Any, names: Any, reward: Any, truth: Any, routing: Any) -> Any:
        return [[reward, routing]]

    def tags(self) -> Any:
        return {"own": 1, "shared": "own"}

    def metrics(self) -> Any:
        return [{"type": "COUNTER", "key": "c", "value": 1}]

    def feature_names(self) -> Any:
        return ["f"]


class Named(Model):
    def class_names(self) -> Any:
        return ["one", "two"]


class Metrics(SeldonMetrics):  # type: ignore[misc]  # of the package that the path has named
    """In this process alone: no manager's process."""

    def __init__(self) -> None:
        self.noted: list[Any] = []

    def __del__(self) -> None:
        pass

    def update(self, custom_metrics: Any, method: str) -> None:
        self.noted += [[metric["key"], method] for metric in custom_metrics]

    def update_reward(self, reward: float) -> None:
        pass

    def add_series(self, update: Any) -> None:
        self.noted.append([update["name"], update["labels"]["method"]])


REQUESTS: list[Any] = [
    {"data": {"names": ["a"], "ndarray": [[1, 2]]}, "meta": {"puid": "p"}},
    {"data": {"tensor": {"shape": [1, 2], "values": [1, 2]}}},
    {"strData": "a"},
    {"jsonData": {"a": 1}},
]
RESULTS: list[Any] = [
    np.array([[1, 2]]),
    np.array([1.5]),
    np.array([["a", "b"]]),
    [[1, 2.5]],
    ["a"],
    [],
    {"a": [1, None]},
    "text",
    b"bytes",
    bytearray(b"b"),
    None,
    3,
]
META = {"tags": {"shared": "request"}, "metrics": [{"key": "m"}], "requestPath": {"before": "i"}}


def told(function: Any, *arguments: Any, **keywords: Any) -> Any:
    try:
        found = function(*arguments, **keywords)
    except Exception as error:
        return [type(error).__name__, getattr(error, "message", "")]
    if hasattr(found, "DESCRIPTOR"):
        return utils.seldon_message_to_json(found)
    if isinstance(found, user_model.SeldonResponse):
        return [as_json(found.data), found.tags, found.metrics]
    return as_json(found)


def as_json(value: Any) -> Any:
    return json.loads(
        json.dumps(value, default=lambda v: v.tolist() if hasattr(v, "tolist") else str(v))
    )


def answers() -> Any:
    for model in (Model(), Named(), object()):
        for request in REQUESTS:
            message = utils.json_to_seldon_message(request)
            for result in RESULTS:
                for is_request in (False, True):
                    for meta in (None, META):
                        options = {
                            "meta": None if meta is None else json.loads(json.dumps(meta)),
                            "custom_metrics": [{"key": "own"}],
                            "runtime_tags": {"runtime": 2},
                        }
                        yield told(
                            utils.construct_response_json,
                            model,
                            is_request,
                            request,
                            result,
                            **options,
                        )
                options["meta"] = {"tags": {"shared": "request"}}
                options["custom_metrics"] = []
                if result is not None and not isinstance(result, int | bytearray):
                    yield told(
                        utils.construct_response, model, is_request, message, result, **options
                    )
            for name in ("predict", "transform_input", "transform_output", "route"):
                metrics = Metrics()
                yield told(getattr(seldon_methods, name), model, request, metrics)
                yield told(getattr(seldon_methods, name), model, message, metrics)
                yield metrics.noted
        array = np.array([[1, 2]])
        for name in ("predict", "transform_input", "transform_output", "route"):
            yield told(getattr(user_model, f"client_{name}"), model, array, ["a"], meta={})
        yield told(user_model.client_aggregate, model, [array], [["a"]])
        yield told(user_model.client_send_feedback, model, array, [], 0.5, array, 2)
        yield told(user_model.client_health_status, model)
        yield told(user_model.client_class_names, model, array)
        yield told(user_model.client_class_names, model, np.array([1]))
        yield told(user_model.client_feature_names, model, ["x"])
        yield told(user_model.client_custom_tags, model)
        metrics = Metrics()
        yield told(user_model.client_custom_metrics, model, metrics, "predict", [])
        yield metrics.noted
        yield told(seldon_methods.aggregate, model, REQUESTS, Metrics())
        yield told(seldon_methods.health_status, model, Metrics())
        yield told(seldon_methods.init_metadata, model)


if __name__ == "__main__":
    json.dump(list(answers()), sys.stdout)
