"""What is read of the bytes between nodes, and what is put into them."""

from __future__ import annotations

import json
import types
from typing import Any

import orjson
import pytest

from mms.bodies.large_json import LOOP_BYTES
from mms.errors import InternalServerError, WorkerFailure
from mms.interfaces.seldon.codec import json_text
from mms.interfaces.seldon.graph import Message
from mms.interfaces.seldon.graph.message import (
    JSON,
    chosen_branch,
    feedback_routing,
    join,
    parse,
    with_routing,
)


def injected(body: bytes, **routing: int) -> bytes:
    return bytes(with_routing(Message(body, JSON), routing or {"n": 1}).body)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            b'{"data":{"ndarray":[1e400,1.0]},"meta":{}}\n',
            b'{"data":{"ndarray":[1e400,1.0]},"meta":{"routing":{"n":1}}}\n',
        ),
        (b'{"meta":{},"strData":"a"}\n', b'{"meta":{"routing":{"n":1}},"strData":"a"}\n'),
        (
            b'{"meta":{"tags":{"a":"\xc3\xa4"}},"strData":"a"}',
            b'{"meta":{"routing":{"n":1},"tags":{"a":"\\u00e4"}},"strData":"a"}',
        ),
    ],
)
def test_routing_is_put_into_meta_and_the_rest_keeps_its_bytes(
    body: bytes, expected: bytes
) -> None:
    assert injected(body) == expected


@pytest.mark.parametrize(
    "body",
    [
        b'{ "strData" : "a", "meta" : { } }',
        b'{"strData":"a"}',
        b'{"meta":null,"strData":"a"}',
        b'{"data":{"ndarray":[]},"jsonData":{"meta":{"routing":{}}},"meta":{},"strData":"a"}',
        b'{"jsonData":{"meta":{}},"strData":"a"}',
        b'{"jsonData":{"meta":{}}}',
        b'{"jsonData":"\\"meta\\":{}}","meta":{"tags":{"meta":{"x":1}}}}',
        b'{"data":{"ndarray":[NaN,123456789012345678901234567890]},"status":{},"meta":{},"x":1}',
        b'{"meta":{"tags":{"long":"' + b"x" * 5000 + b'"}},"strData":"a"}',
        b'{"meta":{"tags":{"split":"' + b"\xc3\xa4" * 5000 + b'"}},"strData":"a"}',
    ],
)
def test_routing_is_put_into_the_outermost_meta_wherever_it_stands(body: bytes) -> None:
    expected = json.loads(body)
    expected["meta"] = {**(expected.get("meta") or {}), "routing": {"n": 1}}
    # Not by value: NaN is not equal to itself.
    assert json.dumps(json.loads(injected(body)), sort_keys=True) == json.dumps(
        expected, sort_keys=True
    )


def test_routing_of_a_reply_is_kept_beside_the_graphs_own() -> None:
    body = injected(b'{"meta":{"routing":{"inner":0,"n":5}},"strData":"a"}', n=1)
    assert json.loads(body)["meta"]["routing"] == {"inner": 0, "n": 1}


@pytest.mark.parametrize("body", [b"[1]", b"no json", b'"text"', b"", b'{"meta":{'])
def test_a_reply_that_is_no_object_stays_as_it_is(body: bytes) -> None:
    assert injected(body) == body


@pytest.mark.parametrize(
    ("body", "branch"),
    [
        (b'{"data":{"ndarray":[[1]]}}', 1),
        (b'{"data":{"ndarray":[2,3]}}', 2),
        (b'{"data":{"tensor":{"shape":[1,1],"values":[-1]}}}', -1),
        (b'{"data":{"tftensor":{"dtype":"DT_INT32","intVal":[-2]}}}', -2),
        (b'{"data":{"ndarray":[[1.9]]}}', 1),
        (b'{"data":{"ndarray":[[true]]}}', 1),
        (b"[3]", 3),
    ],
)
def test_a_router_may_reply_in_any_form_with_a_number(body: bytes, branch: int) -> None:
    assert chosen_branch(Message(body, JSON), "r") == branch


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"strData":"1"}', b'{"data":{"ndarray":[]}}', b'[["a"]]', b"[1e999]"]
)
def test_a_route_reply_without_a_number_names_the_node(body: bytes) -> None:
    with pytest.raises(InternalServerError, match="Node r must choose a branch"):
        chosen_branch(Message(body, JSON), "r")


def test_replies_are_joined_as_they_are() -> None:
    joined = join([Message(b'{"strData":"a"}\n', JSON), Message(b'{"x":NaN}', JSON)])
    assert joined.body == b'{"seldonMessages":[{"strData":"a"}\n,{"x":NaN}]}'


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        {"response": None},
        {"response": {"meta": {"routing": []}}},
        {"response": {"meta": 1}},
    ],
)
def test_feedback_without_a_routing_that_can_be_read_has_none(document: object) -> None:
    assert feedback_routing(Message(json.dumps(document).encode(), JSON)) == {}


def test_entries_of_a_feedbacks_routing_that_are_no_whole_numbers_do_not_count() -> None:
    routing = {"a": 1, "b": "x", "c": True, "d": 1.5}
    body = json.dumps({"response": {"meta": {"routing": routing}}}).encode()
    assert feedback_routing(Message(body, JSON)) == {"a": 1}


# What a client sent and no node has read


@pytest.mark.parametrize(
    "message",
    [
        Message(b'{"strData":"a"}', JSON, is_raw=True),
        Message(b"", b"", b"json=%7B%22strData%22%3A%22a%22%7D", is_raw=True),
        Message(
            b"json=%7B%22strData%22%3A%22a%22%7D",
            b"application/x-www-form-urlencoded",
            is_raw=True,
        ),
    ],
)
def test_a_clients_body_is_read_by_the_rules_for_bodies(message: Message) -> None:
    assert parse(message) == {"strData": "a"}
    assert json.loads(join([message]).body) == {"seldonMessages": [{"strData": "a"}]}
    final = with_routing(message, {"r": -2})
    assert json.loads(final.body) == {"strData": "a", "meta": {"routing": {"r": -2}}}
    assert final.content_type == JSON


def test_a_file_of_a_form_is_base64_in_json() -> None:
    form = b'--x\r\nContent-Disposition: form-data; name="binData"; filename="f"\r\n\r\n\xff\r\n--x--\r\n'
    message = Message(form, b"multipart/form-data; boundary=x", is_raw=True)
    assert json.loads(join([message]).body) == {"seldonMessages": [{"binData": "/w=="}]}


def test_a_clients_body_without_json_is_the_clients_fault() -> None:
    with pytest.raises(WorkerFailure) as caught:
        join([Message(b"no json", JSON, is_raw=True)])
    assert caught.value.http_status == 400
    assert caught.value.type_name == "MICROSERVICE_BAD_DATA"


def test_a_long_meta_is_found_to_its_end_too() -> None:
    long = b"x" * 20_000
    body = b'{"data":{"ndarray":[1e400]},"meta":{"tags":{"l":"' + long + b'"}}}'
    assert injected(body) == (
        b'{"data":{"ndarray":[1e400]},"meta":{"routing":{"n":1},"tags":{"l":"' + long + b'"}}}'
    )


def test_long_integers_stay_exact_where_a_whole_reply_is_read() -> None:
    long = 10**30 + 1
    body = json.dumps({"jsonData": long, "meta": {"tags": {"n": long}}, "z": 1}).encode()
    assert json.loads(injected(body))["jsonData"] == long
    assert json.loads(injected(body))["meta"]["tags"]["n"] == long


@pytest.mark.parametrize("is_raw", [True, False])
def test_a_large_message_is_parsed_in_pieces_and_written_by_the_fast_writer(
    is_raw: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    def load(text: bytes) -> Any:
        sizes.append(len(text))
        return orjson.loads(text)

    monkeypatch.setattr(
        json_text, "orjson", types.SimpleNamespace(**{**vars(orjson), "loads": load})
    )
    monkeypatch.setattr(json, "dumps", None)
    document = {"data": {"ndarray": [[float(n), 0.5] for n in range(40_000)]}, "meta": {}}
    message = Message(orjson.dumps(document), JSON, is_raw=is_raw)
    assert parse(message) == document
    assert feedback_routing(message) == {}
    assert parse(join([message])) == {"seldonMessages": [document]}
    assert max(sizes) < 3 * LOOP_BYTES
