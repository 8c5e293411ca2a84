"""How a request becomes `data`: names, order and types of the values that a handler is given."""

from __future__ import annotations

from typing import Any

import pytest
from support.client import Part, Reply, multipart
from support.server import Server


def _data(reply: Reply) -> Any:
    assert reply.status == 200, reply
    return reply.json()["data"]


def _post(server: Server, body: bytes, content_type: str | None, path: str = "") -> Any:
    name = server.shared("inspect")
    reply = server.inference.post(
        path.format(name) or f"/predictions/{name}", body, content_type=content_type
    )
    return _data(reply)


def _value(kind: str, value: object) -> dict[str, object]:
    return {"type": kind, "value": value}


@pytest.mark.edge
def test_data_is_a_list_of_dicts(server: Server) -> None:
    shown = server.inference.post(f"/predictions/{server.shared('inspect')}", b"x").json()
    assert (shown["data_type"], shown["item_type"]) == ("list", "dict")


@pytest.mark.parametrize(
    ("content_type", "body", "kind", "value"),
    [
        ("application/json", b'{"data": "test"}', "dict", {"data": "test"}),
        ("application/json", b"[1, 2.5, null]", "list", [1, 2.5, None]),
        ("application/json", b'"text"', "str", "text"),
        ("application/json", b"17", "int", 17),
        ("application/json", b"null", "NoneType", None),
        ("application/json", '{"ü": "é"}'.encode(), "dict", {"ü": "é"}),
        ("application/json; charset=utf-8", b'{"a": 1}', "dict", {"a": 1}),
        ("application/json;charset=utf-8", b'{"a": 1}', "dict", {"a": 1}),
        ("application/json ;charset=utf-8", b'{"a": 1}', "bytearray", '{"a": 1}'),
        ("Application/JSON", b'{"a": 1}', "bytearray", '{"a": 1}'),
        ("application/jsonlines", b'{"a": 1}', "bytearray", '{"a": 1}'),
        ("application/problem+json", b'{"a": 1}', "bytearray", '{"a": 1}'),
        ("text/plain", b"words", "str", "words"),
        ("text/csv", b"1,2", "str", "1,2"),
        ("text/csv; header=present", b"1,2", "str", "1,2"),
        ("text/plain; charset=utf-8", "grün".encode(), "str", "grün"),
        ("text", b"words", "str", "words"),
        ("Text/plain", b"words", "bytearray", "words"),
        ("text/plain", b"", "str", ""),
        ("application/octet-stream", b"\x00\xff", "bytearray", "\x00ÿ"),
        ("image/jpeg", b"\xff\xd8", "bytearray", "ÿØ"),
        ("multipart/form-data", b"no boundary", "bytearray", "no boundary"),
        (None, b'{"a": 1}', "bytearray", '{"a": 1}'),
        (None, b"", "bytearray", ""),
    ],
)
def test_a_raw_body_is_decoded_by_its_content_type(
    server: Server, content_type: str | None, body: bytes, kind: str, value: object
) -> None:
    assert _post(server, body, content_type) == {"body": _value(kind, value)}


@pytest.mark.edge
def test_a_request_without_a_body_has_an_empty_body_entry(server: Server) -> None:
    reply = server.inference.get(f"/predictions/{server.shared('inspect')}")
    assert _data(reply) == {"body": _value("bytearray", "")}


@pytest.mark.edge
def test_query_parameters_do_not_reach_the_handler_of_a_prediction(server: Server) -> None:
    assert _post(server, b"x", None, "/predictions/{}?x=1") == {"body": _value("bytearray", "x")}


@pytest.mark.edge
@pytest.mark.parametrize(
    "path", ["/models/{}/invoke?x=1&y=a+b%C3%BC", "/{}/predict?x=1&y=a+b%C3%BC"]
)
def test_query_parameters_reach_the_handler_on_the_other_routes(server: Server, path: str) -> None:
    assert _post(server, b"x", None, path) == {
        "x": _value("bytearray", "1"),
        "y": _value("bytearray", "a bÃ¼"),
        "body": _value("bytearray", "x"),
    }


@pytest.mark.edge
def test_the_model_name_of_an_invocation_reaches_the_handler(server: Server) -> None:
    name = server.shared("inspect")
    assert _post(server, b"x", None, "/invocations?x=1&model_name={}") == {
        "x": _value("bytearray", "1"),
        "model_name": _value("bytearray", name),
        "body": _value("bytearray", "x"),
    }


@pytest.mark.edge
def test_query_parameters_come_before_the_body_in_their_order(server: Server) -> None:
    name = server.shared("inspect")
    reply = server.inference.post(f"/{name}/predict?z=1&a=2&m=3", b"x")
    assert reply.json()["names"] == ["z", "a", "m", "body"]


@pytest.mark.edge
def test_a_body_replaces_a_query_parameter_of_that_name(server: Server) -> None:
    assert _post(server, b"real", None, "/{}/predict?body=other") == {
        "body": _value("bytearray", "real")
    }


@pytest.mark.edge
def test_the_last_of_equal_query_parameters_wins(server: Server) -> None:
    assert _post(server, b"", None, "/{}/predict?x=1&x=2")["x"] == _value("bytearray", "2")


@pytest.mark.edge
def test_a_get_with_a_query_has_both_entries(server: Server) -> None:
    name = server.shared("inspect")
    assert _data(server.inference.get(f"/{name}/predict?data=test")) == {
        "data": _value("bytearray", "test"),
        "body": _value("bytearray", ""),
    }


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"data=test", {"data": "test"}),
        (b"a=1&b=2", {"a": "1", "b": "2"}),
        (b"a=x+y%2B%26&%C3%BC=%C3%A9", {"a": "x y+&", "ü": "Ã©"}),
        (b"a=1&a=2", {"a": "2"}),
        (b"a=", {"a": ""}),
        (b"lonely&a=1", {"lonely": "", "a": "1"}),
        (b"a=1&lonely", {"a": "1"}),
        (b'{"data": "test"}', {}),
        (b"", {}),
        (b"a=b=c", {"a": "b=c"}),
    ],
)
def test_a_form_has_one_entry_a_field(
    server: Server, body: bytes, expected: dict[str, str]
) -> None:
    shown = _post(server, body, FORM)
    assert shown == {name: _value("bytearray", value) for name, value in expected.items()}


def test_a_form_with_a_charset_is_a_form(server: Server) -> None:
    assert _post(server, b"a=1", FORM + "; charset=UTF-8") == {"a": _value("bytearray", "1")}


@pytest.mark.edge
def test_a_form_joins_the_query_parameters_and_wins(server: Server) -> None:
    assert _post(server, b"a=form&b=2", FORM, "/{}/predict?a=query&c=3") == {
        "a": _value("bytearray", "form"),
        "c": _value("bytearray", "3"),
        "b": _value("bytearray", "2"),
    }


def _post_parts(server: Server, *parts: Part) -> Any:
    body, content_type = multipart(*parts)
    return _post(server, body, content_type)


@pytest.mark.parametrize(
    ("part", "kind", "value"),
    [
        (Part("data", b'{"a": 1}', "f.json", "application/json"), "dict", {"a": 1}),
        (Part("data", b'{"a": 1}', "f.json", "application/json; charset=utf-8"), "dict", {"a": 1}),
        (Part("data", b'{"a": 1}', None, "application/json"), "bytearray", '{"a": 1}'),
        (Part("data", b"words", "f.txt", "text/plain"), "str", "words"),
        (Part("data", b"words", None, "text/plain"), "bytearray", "words"),
        (Part("data", b'{"a": 1}', "f.json", None), "bytearray", '{"a": 1}'),
        (Part("data", b"\xff\x00", "f.jpg", "image/jpeg"), "bytearray", "ÿ\x00"),
        (Part("data", b"", "f.txt", "text/plain"), "str", ""),
        (Part("data", b"field", None, None), "bytearray", "field"),
    ],
)
def test_a_part_is_decoded_by_its_type_only_if_it_has_a_file_name(
    server: Server, part: Part, kind: str, value: object
) -> None:
    assert _post_parts(server, part) == {"data": _value(kind, value)}


@pytest.mark.edge
def test_a_multipart_form_has_one_entry_a_part_and_no_body(server: Server) -> None:
    shown = _post_parts(
        server,
        Part("one", b"1"),
        Part("two", b"2", "two.bin", "application/octet-stream"),
        Part("three", b"\r\n--conformance\r\n"),
    )
    assert shown == {
        "one": _value("bytearray", "1"),
        "two": _value("bytearray", "2"),
        "three": _value("bytearray", "\r\n--conformance\r\n"),
    }


def test_the_last_of_equal_parts_wins(server: Server) -> None:
    shown = _post_parts(server, Part("data", b"first"), Part("data", b"second"))
    assert shown == {"data": _value("bytearray", "second")}


def test_a_quoted_boundary_is_understood(server: Server) -> None:
    body, content_type = multipart(Part("data", b"x"), boundary="some boundary")
    content_type = content_type.replace("some boundary", '"some boundary"')
    assert _post(server, body, content_type) == {"data": _value("bytearray", "x")}


def test_a_multipart_body_without_its_boundary_gives_no_entry(server: Server) -> None:
    assert _post(server, b"nothing of a form", "multipart/form-data; boundary=xyz") == {}


@pytest.mark.edge
def test_multipart_reaches_models_beside_the_query(server: Server) -> None:
    body, content_type = multipart(Part("data", b"x"))
    assert _post(server, body, content_type, "/models/{}/invoke?q=1") == {
        "q": _value("bytearray", "1"),
        "data": _value("bytearray", "x"),
    }


@pytest.mark.better_than_mms
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data; boundary=", b"x"),
        (FORM, b"a=%zz"),
        (FORM, b"=1&a=2"),
    ],
)
def test_a_malformed_form_is_400(server: Server, content_type: str, body: bytes) -> None:
    path = f"/predictions/{server.shared('inspect')}"
    reply = server.inference.post(path, body, content_type=content_type)
    assert reply.status == 400
    assert reply.json()["type"] == "BadRequestException"


@pytest.mark.better_than_mms
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{not json"),
        ("application/json", b""),
        ("application/json", b'"\xff"'),
        ("text/plain", b"\xff"),
    ],
)
def test_an_undecodable_body_fails_its_request_alone(
    server: Server, content_type: str, body: bytes
) -> None:
    path = f"/predictions/{server.shared('inspect')}"
    before = server.inference.post(path, b"x").json()["pid"]
    reply = server.inference.post(path, body, content_type=content_type)
    assert reply.status == 400
    assert reply.json()["code"] == 400
    assert reply.json()["type"] == "BadRequestException"
    assert server.inference.post(path, b"x").json()["pid"] == before


@pytest.mark.better_than_mms
def test_an_undecodable_part_fails_its_request_alone(server: Server) -> None:
    path = f"/predictions/{server.shared('inspect')}"
    before = server.inference.post(path, b"x").json()["pid"]
    body, content_type = multipart(Part("data", b"{", "f.json", "application/json"))
    reply = server.inference.post(path, body, content_type=content_type)
    assert (reply.status, reply.json()["type"]) == (400, "BadRequestException")
    assert server.inference.post(path, b"x").json()["pid"] == before


def test_decoded_input_does_not_show_a_bytearray(server: Server) -> None:
    reply = server.inference.post_json(f"/predictions/{server.shared('echo')}", {"data": "test"})
    assert reply.status == 200
    assert reply.text == "{'body': {'data': 'test'}}"


def test_undecoded_input_is_a_bytearray(combined: Server) -> None:
    reply = combined.inference.post_json("/predictions/named", {"data": "test"})
    assert reply.status == 200
    assert "bytearray" in reply.text


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "image/png"])
def test_with_decoding_off_every_body_is_a_bytearray(combined: Server, content_type: str) -> None:
    body = b'{"a": '
    reply = combined.inference.post("/predictions/named", body, content_type=content_type)
    assert reply.text == "{'body': bytearray(b'{\"a\": ')}"


def test_with_decoding_off_every_part_is_a_bytearray(combined: Server) -> None:
    body, content_type = multipart(Part("data", b"{}", "f.json", "application/json"))
    reply = combined.inference.post("/predictions/named", body, content_type=content_type)
    assert reply.text == "{'data': bytearray(b'{}')}"


@pytest.mark.edge
def test_a_large_part_arrives_whole(server: Server) -> None:
    payload = bytes(range(256)) * 32768
    body, content_type = multipart(Part("data", payload, "big.bin", "application/octet-stream"))
    name = server.shared("obey-size") if (server.store / "obey-size").exists() else _size(server)
    reply = server.inference.post(f"/predictions/{name}", body, content_type=content_type)
    assert reply.json() == {"data": len(payload), "sum": sum(payload)}


def _size(server: Server) -> str:
    source = (
        "def handle(data, context):\n"
        "    if data is None:\n"
        "        return None\n"
        "    return [{'data': len(d['data']), 'sum': sum(d['data'])} for d in data]\n"
    )
    server.write_model("obey-size", source)
    return server.shared("obey-size", handler="service:handle")


def test_a_worker_is_told_whether_to_decode(server: Server, combined: Server) -> None:
    for asked, word in ((server, "true"), (combined, "false")):
        shown = asked.inference.post(f"/predictions/{asked.shared('inspect')}", b"x").json()
        assert shown["environment"]["MMS_DECODE_INPUT_REQUEST"] == word
