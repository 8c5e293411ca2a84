"""What a handler may set of an answer's head."""

from __future__ import annotations

import http
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mms.worker.requests import answer_head
from mms.worker.requests.answer_head import (
    InvalidHead,
    encode_headers,
    encode_phrase,
    encode_status,
)


class Convertible:
    def __index__(self) -> int:
        return 201


@pytest.mark.parametrize(
    ("status", "code"),
    [(200, 200), (599, 599), (http.HTTPStatus.CREATED, 201), (Convertible(), 201)],
)
def test_a_status_is_any_integer_that_http_can_send(status: Any, code: int) -> None:
    assert encode_status(status) == code


@pytest.mark.parametrize("status", [None, "200", 200.0, True, 0, -1, 100, 199, 600, 70000])
def test_another_status_is_refused_with_its_value(status: Any) -> None:
    with pytest.raises(InvalidHead, match=r"response status"):
        encode_status(status)


@pytest.mark.parametrize(
    ("phrase", "sent"),
    [
        (None, b""),
        ("", b""),
        ("Very Good", b"Very Good"),
        ("très bien", b"tr\xe8s bien"),
        ("一", "一".encode()),
        ("tab\tis fine", b"tab\tis fine"),
        ("OK\r\nX-Injected: 1", b"OK  X-Injected: 1"),
        ("a\0b\x7f", b"a b "),
        ("x" * 2000, b"x" * 1024),
    ],
)
def test_a_phrase_is_sent_in_one_line(phrase: str | None, sent: bytes) -> None:
    assert encode_phrase(phrase) == sent


@pytest.mark.parametrize("phrase", [17, b"OK", ["OK"], 0])
def test_a_phrase_that_is_no_text_is_refused(phrase: Any) -> None:
    with pytest.raises(InvalidHead, match="reason phrase"):
        encode_phrase(phrase)


@pytest.mark.parametrize(
    ("headers", "lines"),
    [
        ({}, b""),
        ({"content-type": "text/plain"}, b"content-type: text/plain\r\n"),
        ({"X-Own": "a", "Dummy": "1"}, b"X-Own: a\r\nDummy: 1\r\n"),
        ({"X-Own": "a", "x-own": "b"}, b"x-own: b\r\n"),
        ({"X-Own": " padded\t"}, b"X-Own: padded\r\n"),
        ({"X-Own": ""}, b"X-Own: \r\n"),
        ({"X-Own": "grün"}, b"X-Own: gr\xfcn\r\n"),
        ({"X-Own": "一"}, b"X-Own: " + "一".encode() + b"\r\n"),
        ({"date": "kept"}, b"date: kept\r\n"),
    ],
)
def test_headers_are_written_as_lines(headers: dict[str, str], lines: bytes) -> None:
    assert encode_headers(headers) == lines
    assert encode_headers(headers) == lines, "a second time, from memory"


@pytest.mark.parametrize(
    "name",
    [
        *("x-request-id", "Pragma", "CACHE-CONTROL", "Expires", "Content-Length", "Connection"),
        *("Transfer-Encoding", "Keep-Alive"),
    ],
)
def test_headers_of_the_server_are_left_out(name: str) -> None:
    assert encode_headers({name: "17", "X-Own": "1"}) == b"X-Own: 1\r\n"


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"X-Own": "a\r\nX-Injected: 1"}, "value of response header X-Own contains a control"),
        ({"X-Own": "a\nb"}, "control character"),
        ({"X-Own": "a\0b"}, "control character"),
        ({"X-Own\r\nX-Injected": "1"}, "is not an HTTP header name"),
        ({"X Own": "1"}, "is not an HTTP header name"),
        ({"": "1"}, "is not an HTTP header name"),
        ({"grün": "1"}, "is not an HTTP header name"),
        ({"X-Own:": "1"}, "is not an HTTP header name"),
        ({17: "1"}, "is not an HTTP header name"),
        ({"X-Own": 17}, "value of response header X-Own is not text, but int"),
        ({"X-Own": None}, "is not text, but NoneType"),
        ({"X-Own": b"1"}, "is not text, but bytes"),
        ({"X-Own": ["1"]}, "is not text, but list"),
        ({"content-length": 17}, "is not text, but int"),
    ],
)
def test_headers_that_cannot_be_sent_are_refused_with_what_is_wrong(
    headers: dict[Any, Any], message: str
) -> None:
    for _ in range(2):
        with pytest.raises(InvalidHead, match=message):
            encode_headers(headers)


@pytest.mark.parametrize(
    ("headers", "lines"),
    [
        ({}, b"content-type: application/json\r\n"),
        ({"X-Own": "1"}, b"X-Own: 1\r\ncontent-type: application/json\r\n"),
        ({"Content-Type": "a/b"}, b"Content-Type: a/b\r\n"),
    ],
)
def test_a_json_type_is_added_unless_the_handler_set_a_type(
    headers: dict[str, str], lines: bytes
) -> None:
    assert encode_headers(headers, adds_json_type=True) == lines


def test_different_heads_do_not_pile_up() -> None:
    for number in range(1000):
        encode_headers({"X-Number": str(number)})
    assert len(answer_head._remembered) <= 256


@given(st.dictionaries(st.text() | st.integers(), st.text() | st.none()), st.text())
def test_a_head_has_as_many_lines_as_headers_or_is_refused(
    headers: dict[Any, Any], phrase: str
) -> None:
    try:
        lines = encode_headers(headers)
        assert b"\n" not in encode_phrase(phrase)
    except InvalidHead:
        return
    assert lines.count(b"\n") == lines.count(b"\r\n") == lines.count(b"\r")
    assert lines.count(b"\n") <= len(headers)
