"""What a request brings to a Seldon component besides what its hooks expect: mistakes, long integers, headers."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format

from mms.interfaces.seldon.codec.messages import SeldonMessage
from mms.interfaces.seldon.errors import SeldonNotImplementedError

from .seldon_served import MESSAGE, PROTO, Served, item


class Identity:
    def predict(self, X: Any, names: Any) -> Any:
        return X

    transform_input = predict
    transform_output = predict


# Mistakes of clients

MISTAKES: list[tuple[Any, str]] = [
    ({"data": [[1, 2]]}, "data must be an object with tensor, ndarray or tftensor, not [[1, 2]]"),
    ({"data": None}, "data must be an object"),
    ({"data": "ndarray"}, "data must be an object"),
    ({"data": {"ndarry": [[1]]}}, "data has 'ndarry', and none of tensor, ndarray, tftensor"),
    ({"data": {"ndarray": [[1, 2], [3]]}}, "data.ndarray is not an array: its rows are of unequal"),
    ({"data": {"ndarray": [[[1]], [2]]}}, "data.ndarray is not an array"),
    ({"data": {"tensor": {"shape": [1, 2], "values": [1]}}}, "data.tensor.shape [1, 2] needs 2"),
    ({"data": {"tensor": {"shape": [-2], "values": [1, 2]}}}, "data.tensor.shape must be"),
    ({"data": {"tensor": {"shape": [-1, -1], "values": [1]}}}, "data.tensor.shape must be"),
    ({"data": {"tensor": {"shape": [-1, 2], "values": [1]}}}, "data.tensor.shape [-1, 2] needs a"),
    ({"data": {"tensor": {"shape": [0, -1], "values": []}}}, "data.tensor.shape [0, -1] needs a"),
    ({"data": {"tensor": {"shape": None, "values": [1]}}}, "data.tensor.shape must be a list"),
    ({"data": {"tensor": {"shape": "1", "values": [1]}}}, "data.tensor.shape must be a list"),
    ({"data": {"tensor": {"values": [1]}}}, "data.tensor.shape must be a list of whole numbers"),
    (
        {"data": {"tensor": {"shape": [1]}}},
        "data.tensor.values must be a list of numbers, not null",
    ),
    (
        {"data": {"tensor": {"shape": [3], "values": [[1], [2]]}}},
        "data.tensor.shape [3] needs 3 values, but data.tensor.values has 2",
    ),
    (
        {"data": {"tensor": {"shape": [2], "values": [[1], [2, 3]]}}},
        "data.tensor.values is not an array",
    ),
    (
        {"data": {"tensor": {"shape": [1], "values": {"a": 1}}}},
        "data.tensor.values must be a list of numbers, not {'a': 1}",
    ),
    ({"data": {"tensor": [1]}}, "data.tensor must be an object"),
    ({"data": {"tftensor": {"dtype": "DT_FLOAT", "floatVal": "x"}}}, "data.tftensor: "),
    ({"data": {"tftensor": {"dtype": "DT_NONE"}}}, "data.tftensor: "),
    ({"data": {"tftensor": {"dtype": "DT_FLOAT", "tensorContent": "MTI="}}}, "data.tftensor: "),
    ({"data": {"tftensor": 1}}, "data.tftensor must be an object"),
    ({"binData": "@@@"}, "binData is not base64: "),
    ({"binData": "MTI"}, "binData is not base64: "),
    ({"binData": "MTIz@"}, "binData is not base64: "),
    ({"binData": "é"}, "binData is not base64: "),
    ({"binData": 5}, "binData must be a text in base64, not 5"),
    ({"binData": None}, "binData must be a text in base64, not null"),
    ({"strData": None}, "strData must be a text, not null"),
    ({"strData": "a", "meta": "text"}, "meta must be an object, not 'text'"),
    ({"strData": "a", "meta": {"tags": [1]}}, "meta.tags must be an object, not [1]"),
    ({"strData": "a", "meta": {"requestPath": "a"}}, "meta.requestPath must be an object"),
    ({"strData": "a", "meta": {"metrics": {"a": 1}}}, "meta.metrics must be a list, not {'a': 1}"),
    ({}, "Invalid request data type"),
    ({"customData": {}}, "Invalid request data type"),
    ([[1, 2]], "Invalid request data type: [[1, 2]]"),
    ("text", "Invalid request data type"),
]


class WithAllHooks(Identity):
    def route(self, X: Any, names: Any) -> Any:
        return 0

    def aggregate(self, Xs: Any, names: Any) -> Any:
        return Xs[0]


@pytest.mark.parametrize(("message", "told"), MISTAKES)
def test_a_mistake_of_the_client_is_400_and_names_the_member(message: Any, told: str) -> None:
    served = Served(WithAllHooks())
    for operation in ("predict", "transform-input", "transform-output", "route"):
        reply = served.ask(operation, message)
        assert reply.status == 400, (operation, reply)
        assert reply.error["reason"] == "MICROSERVICE_BAD_DATA"
        assert reply.error["info"].startswith(told), operation
    for messages in ([MESSAGE, message], {"seldonMessages": [MESSAGE, message]}):
        reply = served.ask("aggregate", messages)
        assert (reply.status, reply.error["reason"]) == (400, "MICROSERVICE_BAD_DATA")
        assert reply.error["info"].startswith(f"seldonMessages[1]: {told}")


@pytest.mark.parametrize(
    ("message", "value"),
    [
        ({"data": {}}, []),
        ({"data": {"names": None, "ndarray": [[1]]}}, [[1]]),
        ({"data": {"tensor": {"shape": [0]}}}, []),
        ({"data": {"tensor": {"shape": [], "values": [5]}}}, 5),
        ({"data": {"tensor": {"shape": [2, 1], "values": [1, 2]}}, "meta": None}, [[1], [2]]),
        ({"data": {"tensor": {"shape": [1], "values": ["a"]}}, "meta": {"tags": None}}, ["a"]),
    ],
)
def test_what_may_be_left_out_may_be_left_out(message: Any, value: Any) -> None:
    class Lists:
        def predict(self, X: Any, names: Any) -> Any:
            return {"X": X.tolist()}

    assert Served(Lists()).result(message)["jsonData"]["X"] == value


def test_base64_may_be_broken_into_lines() -> None:
    served = Served(Identity())
    assert served.predict({"binData": "MTIz\nMTIz\r\n"}).status == 200


@pytest.mark.parametrize(
    "content",
    [[], {}, {"seldonMessages": []}, {"seldonMessages": MESSAGE}, "text"],
)
def test_an_aggregate_of_no_messages_is_400(content: Any) -> None:
    for component in (WithAllHooks(), Identity()):
        reply = Served(component).ask("aggregate", content)
        assert (reply.status, reply.error["reason"]) == (400, "MICROSERVICE_BAD_DATA")
    assert Served(WithAllHooks(), is_strict=True).ask("aggregate", []).status == 500


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([MESSAGE], "Invalid JSON: a Feedback is an object"),
        ({"request": MESSAGE, "unknown": 1}, "Invalid JSON: "),
        ({"request": {"binData": "@"}}, "request.binData is not base64: "),
        ({"reward": "much"}, "Invalid JSON: "),
        ({"request": {"data": {"tensor": {"shape": [2], "values": [1]}}}}, "data.tensor.shape [2]"),
        ({"truth": {"data": {"ndarray": [[1], [1, 2]]}}}, "data.ndarray is not an array"),
    ],
)
def test_mistakes_in_feedback_are_400(content: Any, told: str) -> None:
    reply = Served(WithAllHooks()).ask("send-feedback", content)
    assert (reply.status, reply.error["reason"]) == (400, "MICROSERVICE_BAD_DATA")
    assert reply.error["info"].startswith(told)


def test_a_missing_hook_is_named_whatever_meta_is() -> None:
    for strict in (False, True):
        served = Served(Identity(), is_strict=strict)
        reply = served.ask("route", MESSAGE | {"meta": None})
        assert (reply.status, reply.error["info"]) == (400, "Route not defined")
        reply = served.ask("aggregate", [MESSAGE | {"meta": None}])
        assert (reply.status, reply.error["info"]) == (400, "Aggregate not defined")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ndarray": [[1, 2], [3]]}, "data.ndarray is not an array"),
        ({"tensor": {"shape": [2, 2], "values": [1]}}, "data.tensor.shape [2, 2] needs 4 values"),
        ({"tensor": {"values": [1]}}, "data.tensor has no shape"),
        ({"tftensor": {"dtype": "DT_FLOAT", "tensorContent": "MTI="}}, "data.tftensor: "),
    ],
)
def test_mistakes_of_grpc_clients_are_named_too(changes: Any, told: str) -> None:
    served = Served(WithAllHooks())
    message = json_format.ParseDict({"data": changes}, SeldonMessage())
    for operation in ("predict", "route"):
        body = message.SerializeToString()
        (reply,) = served.send(item(operation, body, content_type=PROTO))
        assert reply.status == 400
        assert reply.error["info"].startswith(told)


# Integers of any length


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**40 + 1])
def test_integers_beyond_64_bits_stay_exact(number: int) -> None:
    class Echo(Identity):
        def predict_raw(self, message: Any) -> Any:
            if "strData" in message:
                return {"jsonData": message["meta"]["tags"]["n"]}
            raise SeldonNotImplementedError

        def aggregate(self, Xs: Any, names: Any) -> Any:
            return Xs[0]

    served = Served(Echo())
    meta = {"tags": {"n": number}}
    for member, value in (
        ("jsonData", {"a": [number, 1]}),
        ("data", {"names": ["t:0", "t:1"], "ndarray": [[number, 1]]}),
        ("data", {"names": ["t:0"], "ndarray": [[[number]]]}),
    ):
        message = {member: value, "meta": meta}
        for operation, sent in (
            ("predict", message),
            ("transform-input", message),
            ("aggregate", [message]),
        ):
            answer = served.result(sent, operation)
            assert answer[member] == value, operation
            assert answer["meta"]["tags"]["n"] == number, operation
    assert served.result({"strData": "", "meta": meta})["jsonData"] == number


# Headers


class TakesHeaders:
    def predict(self, X: Any, names: Any, meta: Any = None, headers: Any = None) -> Any:
        return {"meta": meta, "headers": headers}

    def transform_input(self, X: Any, names: Any, *, headers: Any) -> Any:
        return headers["x-tenant"]

    def transform_output(self, X: Any, names: Any, **more: Any) -> Any:
        return sorted(more)

    def aggregate(self, Xs: Any, names: Any, headers: Any) -> Any:
        return headers["x-tenant"]

    def send_feedback(
        self, X: Any, names: Any, reward: Any, truth: Any, routing: Any, headers: Any
    ) -> Any:
        return headers["x-tenant"]

    def tags(self, headers: Any) -> Any:
        return {"tenant": headers["x-tenant"]}


def test_a_hook_with_the_parameter_headers_is_given_those_of_the_request() -> None:
    served = Served(TakesHeaders())
    headers = "Host\nh\nX-Tenant\none\nX-Tenant\ntwo"
    reply = served.predict({"strData": "a", "meta": {"puid": "p"}}, headers=headers)
    expected = {"host": "h", "x-tenant": "one, two"}
    assert reply.json()["jsonData"] == {"meta": {"puid": "p"}, "headers": expected}
    for operation, content in (
        ("transform-input", MESSAGE),
        ("aggregate", [MESSAGE]),
        ("send-feedback", {"reward": 1}),
    ):
        reply = served.ask(operation, content, headers="X-Tenant\none")
        assert (reply.status, reply.json()["strData"]) == (200, "one"), operation
        assert reply.json()["meta"]["tags"] == {"tenant": "one"}
    # Keywords have meta alone, as with Seldon's wrapper.
    reply = served.ask("transform-output", MESSAGE, headers="X-Tenant\none")
    assert reply.json()["data"]["ndarray"] == ["meta"]


def test_metadata_of_a_grpc_call_are_its_headers() -> None:
    body = SeldonMessage(strData="a").SerializeToString()
    served = Served(TakesHeaders())
    call = item("transform-input", body, content_type=PROTO, headers="x-tenant\none")
    (reply,) = served.send(call)
    assert SeldonMessage.FromString(reply.body).strData == "one"


def test_requests_whose_headers_a_hook_takes_are_not_joined(
    caplog: pytest.LogCaptureFixture,
) -> None:
    served = Served(TakesHeaders(), row_batching=True)
    assert "row_batching has no effect" in caplog.text
    replies = served.send(
        *(item("predict", MESSAGE, headers=f"X-Tenant\n{name}") for name in ("a", "b"))
    )
    assert [r.json()["jsonData"]["headers"]["x-tenant"] for r in replies] == ["a", "b"]
