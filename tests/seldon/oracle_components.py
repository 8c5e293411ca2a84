"""Components that both Seldon's wrapper and this project answer for; no dependency on either."""

from __future__ import annotations

from typing import Any

import numpy as np


class Identity:
    def __init__(self, response_class: Any) -> None:
        self._response_class = response_class

    def predict(self, X: Any, names: Any, meta: Any = None) -> Any:
        return X

    def aggregate(self, features: Any, names: Any) -> Any:
        return features[0]

    def send_feedback(
        self, features: Any, names: Any, reward: Any, truth: Any, routing: Any = None
    ) -> Any:
        return None


class Tagged(Identity):
    def tags(self) -> dict[str, Any]:
        return {"mytag": 1, "shared": "own", "é": "ü\x7f\n"}

    def metrics(self) -> list[dict[str, Any]]:
        return [
            {"type": "COUNTER", "key": "mycounter", "value": 1},
            {"type": "GAUGE", "key": "mygauge", "value": 1.5, "tags": {"a": "b"}},
        ]

    def class_names(self) -> list[str]:
        return ["one", "two"]


class Feedback(Identity):
    def send_feedback(
        self, features: Any, names: Any, reward: Any, truth: Any, routing: Any = None
    ) -> Any:
        return [list(np.asarray(features).shape), [reward, -1.0 if routing is None else routing]]


RESULTS: dict[str, Any] = {
    "integers": np.arange(6).reshape(2, 3),
    "float32": np.array([[0.1, 2.5]], np.float32),
    "float16": np.array([[0.1, 2.5]], np.float16),
    "float64": np.array([[0.1, 1e16, 1e22, -0.0, 123456.789]]),
    "transposed": np.arange(6.0).reshape(2, 3).T,
    "strided": np.arange(12)[::2],
    "big endian": np.array([[1, 2]], ">i4"),
    "unsigned": np.array([2**64 - 1], np.uint64),
    "boolean": np.array([[True, False]]),
    "texts": np.array([["a", "é"]]),
    "objects": np.array([["a", 1, None, {"b": [2]}]], dtype=object),
    "no axes": np.array(5.5),
    "three axes": np.zeros((2, 2, 2)),
    "no rows": np.zeros((0, 3)),
    "no columns": np.zeros((2, 0)),
    "list": [[1, 2.5], [3, 4]],
    "flat list": [1, 2, 3],
    "list of texts": ["a", "b"],
    "empty list": [],
    "mixed list": [1, "a", None],
    "dict": {"b": 1, "a": [1.5, None, {"é": "\x7f"}]},
    "text": "é \x7f \u2028 \U0001f600",
    "bytes": b"\x00\xff123",
    "bytearray": bytearray(b"123"),
    "None": None,
    "int": 3,
    "float": 2.5,
    "bool": True,
    "tuple": (1, 2),
    "set": {1},
    "datetimes": np.array(["2020-01-02T03:04:05"], "datetime64[s]"),
}


def _returning(name: str) -> type:
    def predict(self: Any, X: Any, names: Any, meta: Any = None) -> Any:
        return RESULTS[name]

    return type("Returning", (Identity,), {"predict": predict})


COMPONENTS: dict[str, type] = {
    "identity": Identity,
    "tagged": Tagged,
    "feedback": Feedback,
    **{name: _returning(name) for name in RESULTS},
}
