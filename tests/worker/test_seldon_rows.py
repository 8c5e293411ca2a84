"""Row batching: predictions that fit together are one call, and each client gets its own rows."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

import numpy as np
import pytest

from mms.interfaces.seldon.codec.messages import SeldonMessage
from mms.interfaces.seldon.components.user_model import SeldonComponent, SeldonResponse
from mms.wire import GraphNode

from .seldon_served import PROTO, Served, item


class Doubling:
    """Doubles, and remembers the shape of each call."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def predict(self, X: Any, names: Any) -> Any:
        self.shapes.append(X.shape)
        return X * 2


def rows(*values: Any, **members: Any) -> dict[str, Any]:
    return {"data": {"ndarray": list(values), **members}}


def tensor(*values: Any) -> dict[str, Any]:
    return {"data": {"tensor": {"shape": [1, len(values)], "values": list(values)}}}


def joined(instance: Any, *contents: Any, **options: Any) -> list[Any]:
    """The answers to predictions that come in one batch."""
    served = Served(instance, row_batching=True, **options)
    return served.send(*(item("predict", content) for content in contents))


def data_of(replies: list[Any]) -> list[Any]:
    assert [reply.status for reply in replies] == [200] * len(replies), replies
    return [reply.json()["data"] for reply in replies]


def test_rows_of_several_requests_are_one_call_and_each_gets_its_own_back() -> None:
    model = Doubling()
    replies = joined(model, rows([1, 2]), rows([3, 4], [5, 6]), rows([7, 8]))
    assert [data["ndarray"] for data in data_of(replies)] == [
        [[2, 4]],
        [[6, 8], [10, 12]],
        [[14, 16]],
    ]
    assert model.shapes == [(4, 2)]


def test_each_answer_has_the_form_puid_and_tags_of_its_own_request() -> None:
    model = Doubling()
    message = tensor(1, 2) | {"meta": {"puid": "p", "tags": {"a": 1}}}
    first, second = joined(model, message, rows([3, 4]))
    assert first.json()["data"]["tensor"] == {"shape": [1, 2], "values": [2, 4]}
    assert first.json()["meta"] == {"puid": "p", "tags": {"a": 1}}
    assert second.json() == {"data": {"names": ["t:0", "t:1"], "ndarray": [[6, 8]]}, "meta": {}}
    assert model.shapes == [(2, 2)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (rows([1, 2]), rows([1, 2, 3])),
        (rows([1, 2]), rows([1.5, 2])),
        (rows([1, 2], names=["a", "b"]), rows([1, 2], names=["b", "a"])),
        (rows([1, 2], names="ab"), rows([1, 2], names=["a", "b"])),
        (rows([1, 2], names=5), rows([1, 2], names=5)),
        (rows(["a", "b"]), rows(["a", "b"])),
        (rows([True]), rows([True])),
        ({"strData": "a"}, {"strData": "a"}),
        ({"jsonData": [[1]]}, {"jsonData": [[1]]}),
    ],
    ids=[
        "widths",
        "types",
        "names",
        "one name",
        "no names",
        "texts",
        "truths",
        "strData",
        "jsonData",
    ],
)
def test_what_does_not_fit_together_is_asked_for_itself(first: Any, second: Any) -> None:
    calls = []

    class Model:
        def predict(self, X: Any, names: Any) -> Any:
            calls.append(X)
            return ["well"]

    assert [data["ndarray"] for data in data_of(joined(Model(), first, second))] == [["well"]] * 2
    assert len(calls) == 2


def test_equal_meta_is_needed_where_the_hook_takes_it() -> None:
    shapes = []

    class Model:
        def predict(self, X: Any, names: Any, meta: Any = None) -> Any:
            shapes.append((len(X), meta))
            return X

    a, b = ({**rows([1]), "meta": {"puid": puid}} for puid in "ab")
    data_of(joined(Model(), a, a, b))
    assert shapes == [(2, {"puid": "a"}), (1, {"puid": "b"})]


def test_a_bad_request_fails_alone() -> None:
    model = Doubling()
    replies = joined(model, rows([1]), b"{", rows([1], [2, 3]), rows([2]))
    assert [reply.status for reply in replies] == [200, 400, 400, 200]
    assert replies[3].json()["data"]["ndarray"] == [[4]]
    assert model.shapes == [(2, 1)]


def test_other_operations_of_a_batch_are_answered_in_their_places() -> None:
    served = Served(Doubling(), row_batching=True)
    health, first, metadata, second = served.send(
        item("health-status"),
        item("predict", rows([1])),
        item("metadata"),
        item("predict", rows([2])),
    )
    assert health.json()["strData"] == "healthy"
    assert "versions" in metadata.json()
    assert [data["ndarray"] for data in data_of([first, second])] == [[[2]], [[4]]]


def test_an_error_of_one_request_s_rows_is_answered_to_that_request_alone() -> None:
    class Model:
        def predict(self, X: Any, names: Any) -> Any:
            if (X < 0).any():
                raise ValueError("below zero")
            return X

    first, second = joined(Model(), rows([1]), rows([-1]))
    assert first.json()["data"]["ndarray"] == [[1]]
    assert (second.status, second.error["info"]) == (500, "below zero")


@pytest.mark.parametrize("result", [[1, 2, 3], np.array(5.0), {"a": 1}, "text"])
def test_a_result_of_another_length_is_asked_for_singly_and_told_once(
    result: Any, caplog: pytest.LogCaptureFixture
) -> None:
    calls = []

    class Model:
        def predict(self, X: Any, names: Any) -> Any:
            calls.append(len(X))
            return result if len(X) > 1 else X

    served = Served(Model(), row_batching=True)
    with caplog.at_level(logging.WARNING, "mms.seldon"):
        for _ in range(2):
            replies = served.send(item("predict", rows([1])), item("predict", rows([2])))
            assert [data["ndarray"] for data in data_of(replies)] == [[[1]], [[2]]]
    assert calls == [2, 1, 1] * 2
    (record,) = caplog.records
    assert "for 2 rows; such requests are no longer joined" in record.getMessage()


def test_lists_and_flat_results_are_shared_out_too() -> None:
    for result, expected in (([10, 20], [[10], [20]]), (np.array([1.5, 2.5]), [[1.5], [2.5]])):
        model = type("Model", (), {"predict": lambda self, X, names, r=result: r})()
        replies = joined(model, rows([1, 1]), rows([2, 2]))
        assert [data["ndarray"] for data in data_of(replies)] == expected


def test_tags_and_metrics_of_a_joined_call_are_asked_and_counted_once() -> None:
    class Model:
        tag_calls = 0

        def predict(self, X: Any, names: Any) -> Any:
            return SeldonResponse(X, tags={"runtime": len(X)})

        def tags(self) -> Any:
            self.tag_calls += 1
            return {"own": 1}

        def metrics(self) -> Any:
            return [{"type": "COUNTER", "key": "c", "value": 1}]

    model = Model()
    served = Served(model, row_batching=True)
    for reply in served.send(item("predict", rows([1])), item("predict", rows([2]))):
        meta = reply.json()["meta"]
        assert meta["tags"] == {"own": 1, "runtime": 2}
        assert len(meta["metrics"]) == 1
    assert model.tag_calls == 1
    assert len(served.series()) == 1


def test_protobuf_requests_are_joined_among_themselves() -> None:
    model = Doubling()
    served = Served(model, row_batching=True)
    message = SeldonMessage()
    message.data.tensor.shape.extend([1, 1])
    message.data.tensor.values.append(4)
    body = message.SerializeToString()
    proto = item("predict", body, content_type=PROTO)
    first, second, _ = served.send(proto, proto, item("predict", rows([1.5])))
    for reply in (first, second):
        assert list(SeldonMessage.FromString(reply.body).data.tensor.values) == [8]
    assert model.shapes == [(2, 1), (1, 1)]


def test_requests_of_different_nodes_are_not_joined() -> None:
    model = Doubling()
    served = Served(model, row_batching=True)
    replies = served.send(
        *(item("predict", rows([1]), node=GraphNode(name)) for name in ("a", "b", "a"))
    )
    paths = [list(reply.json()["meta"]["requestPath"]) for reply in replies]
    assert paths == [["a"], ["b"], ["a"]]
    assert model.shapes == [(2, 1), (1, 1)]


def test_the_base_class_is_no_hindrance() -> None:
    class Derived(SeldonComponent):
        shapes: ClassVar[list[Any]] = []

        def predict(self, X: Any, names: Any, meta: Any = None) -> Any:
            self.shapes.append(X.shape)
            return X

    data_of(joined(Derived(), rows([1]), rows([2])))
    assert Derived.shapes == [(2, 1)]


def test_components_with_raw_hooks_get_every_message_for_itself() -> None:
    class Raw(Doubling):
        def predict_raw(self, message: Any) -> Any:
            return message

    model = Raw()
    data_of(joined(model, rows([1]), rows([2])))
    assert model.shapes == []


def test_without_the_option_every_request_is_a_call_of_its_own() -> None:
    model = Doubling()
    data_of(Served(model).send(item("predict", rows([1])), item("predict", rows([2]))))
    assert model.shapes == [(1, 1)] * 2
