"""JSON both ways, paths, queries, heads."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mms.errors import BadRequest, InternalServerError, ServiceUnavailable
from mms.http.answers import Answers, error_body, phrase_of, render_json
from mms.http.apis.lenient_json import LenientJsonError, loads
from mms.http.routing.paths import check_query, first_values, parse_query, split_path

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_lenient_json_reads_json_as_json(value):
    assert loads(json.dumps(value)) == value


@given(st.text(alphabet="{}[]:,;=>\"'#/*\\ \nab1.-", max_size=30))
def test_lenient_json_raises_nothing_but_its_own_error(text):
    try:
        loads(text)
    except LenientJsonError:
        pass


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'url':'a', n:'1', 'on':true}", {"url": "a", "n": "1", "on": True}),
        ("{a=1;b=>2}", {"a": 1, "b": 2}),
        ("// one\n{a: 1 /* two */, # three\n b: null}", {"a": 1, "b": None}),
        ("{a: 1.5, b: -3, c: TRUE, d: x-y}", {"a": 1.5, "b": -3, "c": True, "d": "x-y"}),
        (r"{'a': 'it\'s', b: '\u0041'}", {"a": "it's", "b": "A"}),
        ("[1, 'two',]", [1, "two"]),
    ],
)
def test_lenient_json_reads_what_gson_reads(text, value):
    assert loads(text) == value


@pytest.mark.parametrize("text", ["", "{", "{a}", "{a:}", "{a:1", "[1", "'a", "{a:1} x", "{:1}"])
def test_lenient_json_says_where_a_text_is_wrong(text):
    with pytest.raises(LenientJsonError, match=r"expected at line 1 column \d+"):
        loads(text)


def test_lenient_json_has_a_depth():
    with pytest.raises(LenientJsonError, match="nested deeper"):
        loads("[" * 100_000)


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.booleans(), max_size=5))
def test_rendered_json_means_what_was_rendered(value):
    rendered = render_json(value)
    assert rendered.endswith(b"\n")
    assert not any(char in rendered for char in b"<>&='")
    assert json.loads(rendered) == json.loads(json.dumps(value))


def test_members_that_are_none_are_left_out():
    assert json.loads(render_json({"a": None, "b": [{"c": None}]})) == {"b": [{}]}


def test_an_error_without_a_message_has_none():
    assert json.loads(error_body(InternalServerError())) == {
        "code": 500,
        "type": "InternalServerException",
    }


@pytest.mark.parametrize(
    ("status", "phrase"),
    [(200, "OK"), (404, "Not Found"), (599, "Server Error (599)"), (777, "Unknown Status (777)")],
)
def test_every_status_has_a_phrase(status, phrase):
    assert phrase_of(status) == phrase


def _lines(head: bytes) -> list[bytes]:
    return head.split(b"\r\n")


def test_a_head_has_the_common_headers_and_an_empty_phrase():
    head = Answers([]).head(b"i" * 36, 200, b"", b"a: b\r\n", 5, True)
    assert _lines(head) == [
        b"HTTP/1.1 200 ",
        b"x-request-id: " + b"i" * 36,
        b"Pragma: no-cache",
        b"Cache-Control: no-cache; no-store, must-revalidate, private",
        b"Expires: Thu, 01 Jan 1970 00:00:00 UTC",
        b"a: b",
        b"content-length: 5",
        b"connection: keep-alive",
        b"",
        b"",
    ]


def test_a_head_says_whether_the_connection_is_kept_whatever_its_status():
    for status in (200, 400, 503):
        for is_kept, word in ((True, b"keep-alive"), (False, b"close")):
            head = Answers([]).head(b"i" * 36, status, b"", b"", 0, is_kept)
            assert b"\r\nconnection: %b\r\n" % word in head


def test_cors_headers_give_way_to_the_handlers():
    answers = Answers(
        [("access-control-allow-origin", "*"), ("access-control-allow-methods", "GET")]
    )
    head = answers.head(b"i" * 36, 200, b"", b"Access-Control-Allow-Origin: mine\r\n", 0, True)
    assert b"access-control-allow-origin: *" not in head
    assert b"access-control-allow-methods: GET" in head
    assert b"access-control-allow-origin: *" in answers.head(b"i" * 36, 200, b"", b"", 0, True)


def test_an_error_says_when_to_come_back():
    head, body = Answers([]).error(b"i" * 36, ServiceUnavailable("busy", retry_after_s=7), True)
    assert b"\r\nretry-after: 7\r\n" in head
    assert json.loads(body)["message"] == "busy"


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        (b"/", []),
        (b"/ping/", ["ping"]),
        (b"/models/a%2Fb", ["models", "a/b"]),
        (b"/a%2F/%2F", ["a/", "/"]),
        (b"/models/%C3%A4", ["models", "ä"]),
        (b"/a//b", ["a", "", "b"]),
    ],
)
def test_a_path_is_cut_before_it_is_decoded(path, segments):
    assert split_path(path) == segments


@pytest.mark.parametrize("path", [b"/%", b"/%4", b"/%zz", b"/a%%41"])
def test_a_bad_escape_is_named(path):
    with pytest.raises(BadRequest, match="Invalid percent-escape in path: %"):
        split_path(path)


@pytest.mark.parametrize("bad", [b"%ED%A0%80", b"%FF", b"a%C3", b"\xff", b"%C0%AF"])
def test_paths_and_queries_that_are_not_utf_8_are_refused(bad):
    with pytest.raises(BadRequest, match="Invalid UTF-8 in path: '"):
        split_path(b"/models/" + bad)
    for query in (b"a=1&b=" + bad, bad + b"=1", bad):
        with pytest.raises(BadRequest, match="Invalid UTF-8 in query: '"):
            parse_query(query)
        with pytest.raises(BadRequest, match="Invalid UTF-8 in query: "):
            check_query(query)


def test_a_query_that_is_utf_8_is_taken_whatever_its_escapes():
    for query in (b"", b"a=%zz", b"a=%C3%A4&b=\xc3\xa4", b"%EF%BF%BD"):
        check_query(query)


@pytest.mark.parametrize(
    ("query", "pairs"),
    [
        (b"", []),
        (b"a=1&b=2;c=3", [("a", "1"), ("b", "2"), ("c", "3")]),
        (b"a+b=c+d%2B", [("a b", "c d+")]),
        (b"lonely&x=", [("lonely", ""), ("x", "")]),
        (b"&&a=1", [("a", "1")]),
    ],
)
def test_a_query_is_read_as_mms_reads_it(query, pairs):
    assert parse_query(query) == pairs


def test_the_first_of_repeated_parameters_counts():
    assert first_values(b"a=1&a=2") == {"a": "1"}
