"""Requests as they came in -> data for the handler."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mms.wire import FAILED, PASSES_QUERY, Item
from mms.worker.requests.request_decoder import RequestDecoder

FORM = b"application/x-www-form-urlencoded"
MULTIPART = b"multipart/form-data; boundary=B"


def item(
    body: bytes | bytearray = b"",
    content_type: bytes = b"",
    query: bytes = b"",
    *,
    passes_query: bool = True,
) -> Item:
    flags = PASSES_QUERY if passes_query else 0
    return (b"i" * 36, flags, content_type, query, b"Name\nvalue", 0, body, None)


def decode(*arguments: Any, decodes: bool = True, **options: Any) -> dict[str, Any]:
    batch = RequestDecoder(decodes).decode_batch([item(*arguments, **options)])
    assert batch.failures == []
    return batch.data[0]


def failure(*arguments: Any, **options: Any) -> str:
    batch = RequestDecoder(True).decode_batch([item(*arguments, **options)])
    assert not (batch.data or batch.ids or batch.types or batch.blocks)
    ((index, flags, status, type_name, headers, message),) = batch.failures
    assert (index, flags, status) == (0, FAILED, 400)
    assert (type_name, headers) == (b"BadRequestException", b"")
    return bytes(message).decode()


@pytest.mark.parametrize(
    ("content_type", "body", "value"),
    [
        ("application/json", b'{"data": "test"}', {"data": "test"}),
        ("application/json", b"null", None),
        ("application/json", b" [1] ", [1]),
        ("application/json", '"ü"'.encode(), "ü"),
        ("application/json; charset=utf-8", b"1", 1),
        ("application/json;charset=utf-8", b"1", 1),
        ("application/json ;charset=utf-8", b"1", bytearray(b"1")),
        ("Application/JSON", b"1", bytearray(b"1")),
        ("application/jsonlines", b"1", bytearray(b"1")),
        ("text/plain", "grün".encode(), "grün"),
        ("text/csv; header=present", b"1,2", "1,2"),
        ("textual", b"x", "x"),
        ("Text/plain", b"x", bytearray(b"x")),
        ("text/plain", b"", ""),
        ("", b"x", bytearray(b"x")),
        ("", b"", bytearray()),
        ("image/jpeg", b"\xff", bytearray(b"\xff")),
        (";text/plain", b"x", bytearray(b"x")),
        ("multipart/form-data", b"x", bytearray(b"x")),
        ("multipart/mixed; boundary=B", b"x", bytearray(b"x")),
        ("application/x-www-form-urlencoded ; x=y", b"a=1", bytearray(b"a=1")),
    ],
)
def test_a_raw_body_is_decoded_by_its_content_type(
    content_type: str, body: bytes, value: object
) -> None:
    for content in (body, bytearray(body)):
        found = decode(content, content_type.encode())
        assert found == {"body": value}
        assert type(found["body"]) is type(value)


@pytest.mark.parametrize("content_type", [FORM, FORM + b"; charset=x", FORM.upper()])
def test_a_form_has_an_entry_a_field_and_no_body(content_type: bytes) -> None:
    assert decode(b"a=1&b=2", content_type) == {"a": b"1", "b": b"2"}


def test_query_parameters_come_first_and_yield_to_the_body() -> None:
    found = decode(b"a=form", FORM, b"z=1&a=2")
    assert list(found.items()) == [("z", b"1"), ("a", b"form")]
    assert decode(b"real", b"", b"body=other&x=1") == {"body": b"real", "x": b"1"}


def test_query_parameters_are_kept_from_the_handler_where_the_route_says_so() -> None:
    assert decode(b"x", b"", b"a=%zz", passes_query=False) == {"body": b"x"}


MULTIPART_BODY = (
    b'--B\r\nContent-Disposition: form-data; name="json"; filename="f"\r\n'
    b"Content-Type: application/json\r\n\r\n[1]\r\n"
    b'--B\r\nContent-Disposition: form-data; name="text"; filename="f"\r\n'
    b"Content-Type: text/plain\r\n\r\nwords\r\n"
    b'--B\r\nContent-Disposition: form-data; name="field"\r\n'
    b"Content-Type: application/json\r\n\r\n[2]\r\n"
    b'--B\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n\xff\r\n--B--\r\n'
)


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_parts_with_a_file_name_are_decoded_by_their_type(kind: type) -> None:
    batch = RequestDecoder(True).decode_batch([item(kind(MULTIPART_BODY), MULTIPART, b"q=1")])
    assert batch.data == [
        {"q": b"1", "json": [1], "text": "words", "field": b"[2]", "file": b"\xff"}
    ]
    assert batch.types == [
        {
            "q": "",
            "json": "application/json",
            "text": "text/plain",
            "field": "",
            "file": "application/octet-stream",
        }
    ]


def test_with_decoding_off_all_values_are_bytes() -> None:
    for content_type in (b"application/json", b"text/plain"):
        assert decode(b"{", content_type, decodes=False) == {"body": bytearray(b"{")}
    found = decode(MULTIPART_BODY, MULTIPART, decodes=False)
    assert {name: type(value) for name, value in found.items()} == dict.fromkeys(found, bytearray)


def test_a_large_body_is_handed_over_without_a_copy() -> None:
    body = bytearray(b"x" * 100_000)
    assert decode(body)["body"] is body


def test_a_large_part_is_handed_over_without_a_copy() -> None:
    large = bytes(range(256)) * 400
    head = b'--B\r\nContent-Disposition: form-data; name="%b"\r\n\r\n'
    body = bytearray(
        head % b"one"
        + b"1\r\n"
        + head % b"large"
        + large
        + b"\r\n"
        + head % b"second"
        + large
        + b"\r\n"
        + head % b"two"
        + b"2\r\n--B--"
    )
    found = decode(body, MULTIPART)
    assert found == {"one": b"1", "large": large, "second": large, "two": b"2"}
    assert list(found) == ["one", "large", "second", "two"]
    assert found["large"] is body
    assert type(found["second"]) is bytearray


@pytest.mark.parametrize(
    ("body", "content_type", "query", "message"),
    [
        (b"{not", "application/json", b"", "The body is not valid JSON: Expecting property"),
        (b"", "application/json", b"", "The body is not valid JSON: it is empty"),
        (b"[" * 100_000, "application/json", b"", "The body is JSON, but nested too deeply"),
        (b"1" * 5000, "application/json", b"", "The body is not valid JSON: Exceeds the limit"),
        (b'"\xff"', "application/json", b"", "byte 0xff at position 1"),
        (
            b"ab\xfe",
            "text/csv",
            b"",
            "as its content type text/csv requires: byte 0xfe at position 2",
        ),
        (b"a=%zz", FORM.decode(), b"", "The form holds '%zz'"),
        (b"=1", FORM.decode(), b"", "Field 1 of the form has no name"),
        (b"x", "", b"a=%", "The query string holds '%'"),
        (b"x", "multipart/form-data; boundary=", b"", "The boundary in Content-Type"),
        (MULTIPART_BODY[:300], MULTIPART.decode(), b"", "The multipart body ends within"),
        (
            MULTIPART_BODY.replace(b"[1]", b"[1"),
            MULTIPART.decode(),
            b"",
            "Part 'json' of the form is not valid JSON: Expecting ',' delimiter",
        ),
    ],
)
def test_what_cannot_be_decoded_is_refused_with_what_is_wrong(
    body: bytes, content_type: str, query: bytes, message: str
) -> None:
    assert message in failure(body, content_type.encode(), query)


def test_a_request_that_cannot_be_decoded_fails_alone_at_its_place() -> None:
    good = item(b"[1]", b"application/json")
    bad = item(b"[", b"application/json")
    batch = RequestDecoder(True).decode_batch([bad, good, bad, good])
    assert batch.data == [{"body": [1]}] * 2
    assert list(batch.indices) == [1, 3]
    assert [found[0] for found in batch.failures] == [0, 2]
    assert len(batch.ids) == len(batch.types) == len(batch.blocks) == 2


def test_very_many_content_types_are_not_remembered() -> None:
    decoder = RequestDecoder(True)
    for number in range(2000):
        decoder.decode_batch([item(b"", b"type/%d" % number)])
    assert len(decoder._kinds) <= 256


def test_content_types_of_a_large_frame_are_understood() -> None:
    # Such a frame is a bytearray, and so is every piece of it.
    body = bytearray(b"[1]")
    found = RequestDecoder(True).decode_batch(
        [(b"i" * 36, 0, bytearray(b"application/json"), bytearray(), bytearray(), 0, body, None)]
    )
    assert found.data == [{"body": [1]}]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_json_comes_out_as_it_went_in(value: object) -> None:
    assert decode(json.dumps(value).encode(), b"application/json") == {"body": value}


@given(
    st.binary(),
    st.sampled_from([b"", b"application/json", b"text/plain", FORM, MULTIPART]) | st.binary(),
    st.binary(),
)
def test_every_request_is_decoded_or_refused(
    body: bytes, content_type: bytes, query: bytes
) -> None:
    batch = RequestDecoder(True).decode_batch([item(body, content_type, query)])
    assert len(batch.data) + len(batch.failures) == 1
    assert all(found[2] == 400 for found in batch.failures)
