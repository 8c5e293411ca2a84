"""What a component gives beside its results: the names of columns, tags and metrics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format

from mms.interfaces.seldon.codec.messages import SeldonMessage

from .seldon_served import MESSAGE, PROTO, Served, item


@pytest.mark.parametrize(
    "names",
    [
        ["a", "b"],
        ("a", "b"),
        {"a": 1, "b": 2},
        {"a": 1, "b": 2}.keys(),
        np.array(["a", "b"]),
        (name for name in ("a", "b")),
        map(str, ("a", "b")),
    ],
)
def test_class_names_may_be_any_iterable(names: Any) -> None:
    rows = type("Rows", (), {"predict": lambda self, X, names: X, "class_names": names})
    served = Served(rows())
    for _ in range(2):
        assert served.result()["data"]["names"] == ["a", "b"]
    message = SeldonMessage()
    message.data.tensor.shape.extend([1, 2])
    message.data.tensor.values.extend([1, 2])
    assert list(served.proto("predict", message).data.names) == ["a", "b"]


def test_class_names_of_a_method_may_be_a_generator_and_numbers() -> None:
    class Rows:
        def predict(self, X: Any, names: Any) -> Any:
            return X

        def class_names(self) -> Any:
            yield from (0, 1)

    served = Served(Rows())
    assert served.result()["data"]["names"] == [0, 1]
    message = SeldonMessage()
    message.data.tensor.shape.extend([1, 2])
    message.data.tensor.values.extend([1, 2])
    assert list(served.proto("predict", message).data.names) == ["0", "1"]


@pytest.mark.parametrize("names", [None, lambda self: None], ids=["attribute", "method"])
def test_class_names_that_are_none_are_the_default_ones(names: Any) -> None:
    rows = type("Rows", (), {"predict": lambda self, X, names: X, "class_names": names})
    assert Served(rows()).result()["data"]["names"] == ["t:0", "t:1"]


@pytest.mark.parametrize(
    ("member", "returned", "told"),
    [
        ("class_names", 5, "class_names is 5; a list of texts is right"),
        ("tags", "text", "tags returned 'text'; a dict is right"),
        ("tags", 5, "tags returned 5; a dict is right"),
        ("tags", [1], "tags returned [1]; a dict is right"),
        (
            "metrics",
            [{"key": "k", "type": "GAUGE", "value": np.array([1.0, 2.0])}],
            "(metric 0 has the value array([1., 2.]), which is not a number)",
        ),
    ],
)
def test_what_a_hook_returns_beside_its_result_is_named_where_it_is_wrong(
    member: str, returned: Any, told: str
) -> None:
    members = {"predict": lambda self, X, names: X, member: lambda self: returned}
    served = Served(type("Model", (), members)())
    for reply in (
        served.predict(MESSAGE),
        served.send(item("predict", _two_columns().SerializeToString(), content_type=PROTO))[0],
    ):
        assert reply.status == 500
        assert told in reply.error["info"]


def test_tags_may_be_pairs_and_have_numbers_of_numpy_over_rest_and_grpc() -> None:
    class Model:
        def predict(self, X: Any, names: Any) -> Any:
            return X

        def tags(self) -> Any:
            return [("mean", np.float32(0.5)), ("shape", np.array([1, 2])), ("yes", np.True_)]

    served = Served(Model())
    wanted = {"mean": 0.5, "shape": [1, 2], "yes": True}
    assert served.result()["meta"]["tags"] == wanted
    answer = json_format.MessageToDict(served.proto("predict", _two_columns()))
    assert answer["meta"]["tags"] == wanted


def _two_columns() -> Any:
    message = SeldonMessage()
    message.data.tensor.shape.extend([1, 2])
    message.data.tensor.values.extend([1, 2])
    return message
