"""How what a handler returns becomes an answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.client import Reply
from support.server import Server


def _obey(server: Server, order: dict[str, Any]) -> Reply:
    return server.inference.post_json(f"/predictions/{server.shared('obey')}", order)


def _pid(server: Server) -> str:
    return _obey(server, {}).text


@pytest.mark.parametrize(
    ("order", "body"),
    [
        ({"element": "bytes"}, b"\x00\xffraw"),
        ({"element": "bytearray"}, b"\x00\xffraw"),
        ({"value": "grün"}, "grün".encode()),
        ({"value": ""}, b""),
        ({"value": {"a": [1, 2], "b": {}}}, b'{\n  "a": [\n    1,\n    2\n  ],\n  "b": {}\n}'),
        ({"value": {"ü": "<&>"}}, b'{\n  "\\u00fc": "<&>"\n}'),
        ({"value": []}, b"[]"),
        ({"value": 17}, b"17"),
        ({"value": 1.5}, b"1.5"),
        ({"value": True}, b"true"),
        ({"value": None}, b"null"),
        ({"element": "nan"}, b"NaN"),
        ({"element": "infinity"}, b"[\n  Infinity,\n  -Infinity\n]"),
        ({"element": "number keys"}, b'{\n  "1": "one"\n}'),
        ({"element": "large"}, b"x" * 20000),
    ],
)
def test_a_result_is_written_by_its_type(
    server: Server, order: dict[str, Any], body: bytes
) -> None:
    reply = _obey(server, order)
    assert (reply.status, reply.body) == (200, body)
    assert reply.header("content-length") == str(len(body))


@pytest.mark.edge
@pytest.mark.parametrize("order", [{"value": {"a": 1}}, {"value": "text"}, {"element": "bytes"}])
def test_no_content_type_is_guessed(server: Server, order: dict[str, Any]) -> None:
    path = f"/predictions/{server.shared('obey')}"
    reply = server.inference.post(
        path,
        json.dumps(order),
        content_type="application/json",
        headers={"Accept": "application/json"},
    )
    assert reply.status == 200
    assert reply.header("content-type") is None


@pytest.mark.edge
def test_the_reason_phrase_is_empty_unless_the_handler_gives_one(server: Server) -> None:
    path = f"/predictions/{server.shared('obey')}"
    with server.inference.wire() as wire:
        plain = wire.call("POST", path, b"{}")
        phrased = wire.call("POST", path, b'{"status": 203, "phrase": ["Very Good"]}')
    assert plain.head.startswith(b"HTTP/1.1 200 \r\n")
    assert phrased.head.startswith(b"HTTP/1.1 203 Very Good\r\n")


@pytest.mark.edge
@pytest.mark.parametrize("code", [200, 201, 203, 299, 302])
def test_a_handler_sets_the_status(server: Server, code: int) -> None:
    reply = _obey(server, {"status": code, "value": "made"})
    assert (reply.status, reply.text) == (code, "made")


def test_a_handler_sets_the_status_of_the_whole_batch(server: Server) -> None:
    reply = _obey(server, {"all status": [202, "Later"], "value": "soon"})
    assert (reply.status, reply.reason, reply.text) == (202, "Later", "soon")


@pytest.mark.edge
def test_an_error_status_of_a_handler_keeps_the_handlers_body(server: Server) -> None:
    reply = server.inference.post(f"/predictions/{server.shared('error_batch')}", b"data=x")
    assert (reply.status, reply.body) == (507, b"Invalid response")


@pytest.mark.edge
def test_an_unusual_status_of_a_handler_is_kept(server: Server) -> None:
    reply = _obey(server, {"status": 499, "phrase": ["Own"], "value": "x"})
    assert (reply.status, reply.reason, reply.text) == (499, "Own", "x")


@pytest.mark.edge
def test_a_handler_sets_the_content_type(server: Server) -> None:
    reply = _obey(server, {"content type": "image/png", "element": "bytes"})
    assert reply.header("content-type") == "image/png"


@pytest.mark.edge
def test_a_handler_sets_headers(server: Server) -> None:
    reply = server.inference.post(f"/predictions/{server.shared('respheader')}", b"x")
    assert reply.status == 200
    assert reply.header("dummy") == "1"
    assert reply.header("content-type") == "text/plain"


@pytest.mark.edge
def test_undecoded_input_and_a_header_of_the_handler(combined: Server) -> None:
    reply = combined.inference.post_json(
        f"/predictions/{combined.shared('respheader')}", {"data": "test"}
    )
    assert (reply.status, reply.header("dummy")) == (200, "1")
    assert reply.header("content-type") == "text/plain"
    assert "bytearray" in reply.text


def test_the_last_value_of_a_header_wins(server: Server) -> None:
    reply = _obey(server, {"headers": [["X-Own", "1"], ["X-Own", "2"]]})
    assert reply.all_headers("x-own") == ["2"]


@pytest.mark.edge
@pytest.mark.parametrize(
    "name", ["x-request-id", "Pragma", "Cache-Control", "Expires", "Content-Length", "Connection"]
)
def test_a_handler_cannot_replace_the_servers_own_headers(server: Server, name: str) -> None:
    reply = _obey(server, {"headers": [[name, "17"]], "value": "four"})
    assert (reply.status, reply.text) == (200, "four")
    assert reply.header(name) != "17"


PREDICTION_FAILURES = [
    ({"return": "tuple"}, 503, "Invalid model predict output"),
    ({"return": "dict"}, 503, "Invalid model predict output"),
    ({"return": "str"}, 503, "Invalid model predict output"),
    ({"return": "none"}, 503, "Invalid model predict output"),
    ({"return": "empty list"}, 503, "number of batch response mismatched"),
    ({"return": "two"}, 503, "number of batch response mismatched"),
    ({"element": "object"}, 503, "Unsupported model output data type."),
    ({"element": "set"}, 503, "Unsupported model output data type."),
    ({"raise": "ValueError"}, 503, "Prediction failed"),
    ({"raise": "KeyError"}, 503, "Prediction failed"),
    ({"raise": "AssertionError"}, 503, "Prediction failed"),
    ({"raise": "MemoryError"}, 507, "Out of resources"),
    ({"PredictionException": ["Some Prediction Error", 599]}, 599, "Some Prediction Error"),
    ({"PredictionException": ["Not you", 403]}, 403, "Not you"),
    ({"PredictionException": ["x"]}, 500, "x"),
    ({"PredictionException": ["<grün> 'x' & \"y\"", 500]}, 500, "<grün> 'x' & \"y\""),
]


@pytest.mark.edge
@pytest.mark.parametrize(("order", "status", "message"), PREDICTION_FAILURES)
def test_a_failed_prediction_says_why(
    server: Server, order: dict[str, Any], status: int, message: str
) -> None:
    before = _pid(server)
    reply = _obey(server, order)
    assert reply.status == status
    assert reply.json() == {
        "code": status,
        "type": "InternalServerException",
        "message": message,
    }
    assert reply.header("content-type") == "application/json"
    assert _pid(server) == before


@pytest.mark.edge
def test_a_status_unknown_to_http_gets_a_general_phrase(server: Server) -> None:
    reply = server.inference.post(f"/predictions/{server.shared('custom-return-code')}", b"data=x")
    assert (reply.status, reply.reason) == (599, "Server Error (599)")
    assert reply.json()["code"] == 599
    assert reply.json()["message"] == "Some Prediction Error"


def test_no_memory_to_predict_is_507(server: Server) -> None:
    name = server.shared("prediction-memory-error")
    reply = server.inference.post(f"/predictions/{name}", b"data=x")
    assert (reply.status, reply.reason) == (507, "Insufficient Storage")
    assert reply.json()["message"] == "Out of resources"


def test_text_for_a_list_is_503(server: Server) -> None:
    reply = server.inference.post(
        f"/predictions/{server.shared('invalid')}",
        b"data=invalid_output",
        content_type="application/x-www-form-urlencoded",
    )
    assert reply.status == 503
    assert (reply.json()["code"], reply.json()["message"]) == (503, "Invalid model predict output")


@pytest.mark.better_than_mms
@pytest.mark.parametrize(
    "order",
    [
        {"headers": [["X-Number", 17]]},
        {"status": "not a number"},
        {"element": "circular"},
        {"element": "lone surrogate"},
        {"PredictionException": [{"not": "text"}, 500]},
        {"content type": 17},
    ],
)
def test_a_result_that_cannot_be_written_fails_its_request_alone(
    server: Server, order: dict[str, Any]
) -> None:
    before = _pid(server)
    reply = _obey(server, order)
    assert reply.status in (500, 503)
    assert reply.json()["code"] == reply.status
    assert _pid(server) == before


@pytest.mark.edge
@pytest.mark.better_than_mms
@pytest.mark.parametrize(
    "order",
    [
        {"content type": "text/plain; name=grün"},
        {"status": 200, "phrase": ["très bien"]},
        {"headers": [["X-Own", "grün"]]},
        {"headers": [["X-Own", "一"]]},
    ],
)
def test_other_letters_in_the_head_do_not_harm(server: Server, order: dict[str, Any]) -> None:
    before = _pid(server)
    reply = _obey(server, {**order, "value": "whole"})
    assert reply.status in (200, 500, 503)
    if reply.status == 200:
        assert reply.text == "whole"
    assert _pid(server) == before


@pytest.mark.edge
@pytest.mark.better_than_mms
@pytest.mark.parametrize(
    "order",
    [
        {"headers": [["X-Own", "a\r\nX-Injected: 1"]]},
        {"headers": [["X-Own\r\nX-Injected", "1"]]},
        {"content type": "text/plain\r\nX-Injected: 1"},
        {"status": 200, "phrase": ["OK\r\nX-Injected: 1"]},
    ],
)
def test_a_handler_cannot_add_lines_to_the_head(server: Server, order: dict[str, Any]) -> None:
    reply = _obey(server, {**order, "value": "whole"})
    assert reply.status in (200, 500, 503)
    assert reply.header("x-injected") is None
    assert b"\nx-injected" not in reply.head.lower()


@pytest.mark.edge
@pytest.mark.better_than_mms
def test_a_json_content_type_can_be_switched_on_for_dicts_and_lists(start_server: Any) -> None:
    server = start_server({"default_response_content_type": "json"})
    for value in ({"a": 1}, [1]):
        assert _obey(server, {"value": value}).header("content-type") == "application/json"
    assert _obey(server, {"value": "text"}).header("content-type") is None
    reply = _obey(server, {"value": {}, "content type": "application/x-own"})
    assert reply.header("content-type") == "application/x-own"


@pytest.mark.edge
def test_a_response_larger_than_allowed_is_a_500(combined: Server) -> None:
    name = combined.shared("obey")
    reply = combined.inference.post_json(f"/predictions/{name}", {"element": "large"})
    assert (reply.status, reply.json()["type"]) == (500, "InternalServerException")


@pytest.mark.better_than_mms
def test_a_response_larger_than_allowed_does_not_cost_the_worker(combined: Server) -> None:
    name = combined.shared("obey")
    before = combined.inference.post_json(f"/predictions/{name}", {}).text
    assert combined.inference.post_json(f"/predictions/{name}", {"element": "large"}).status == 500
    assert combined.inference.post_json(f"/predictions/{name}", {}).text == before


@pytest.mark.edge
def test_a_response_larger_than_the_default_limit_is_a_500(server: Server) -> None:
    with server.registered("obey") as name:
        reply = server.inference.post_json(f"/predictions/{name}", {"element": "very large"})
        assert (reply.status, reply.json()["type"]) == (500, "InternalServerException")


# The original now and then loses its worker over such an answer.
@pytest.mark.edge
@pytest.mark.better_than_mms
@pytest.mark.parametrize("name", ["Transfer-Encoding", "Content-Length", "Connection", "Upgrade"])
def test_a_handler_cannot_break_the_framing(server: Server, name: str) -> None:
    path = f"/predictions/{server.shared('obey')}"
    order = json.dumps({"headers": [[name, "chunked"]], "value": "whole"}).encode()
    with server.inference.wire() as wire:
        for _ in range(2):
            reply = wire.call("POST", path, order, "Content-Type: application/json")
            assert (reply.status, reply.text) == (200, "whole")


@pytest.mark.edge
@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_does_not_break_the_framing(server: Server, status: int) -> None:
    path = f"/predictions/{server.shared('obey')}"
    order = json.dumps({"status": status, "value": ""}).encode()
    with server.inference.wire() as wire:
        reply = wire.call("POST", path, order, "Content-Type: application/json")
        assert reply.status == status
        assert wire.call("GET", "/predictions/noop").body == b"OK"


@pytest.mark.edge
@pytest.mark.better_than_mms
@pytest.mark.parametrize("status", [-1, 0, 99, 101, 1000])
def test_a_status_that_http_does_not_have_is_refused(server: Server, status: int) -> None:
    before = _pid(server)
    reply = _obey(server, {"status": status, "value": "x"})
    assert reply.status in (500, 503)
    assert _pid(server) == before
