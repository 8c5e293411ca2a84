"""Query strings and urlencoded forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mms.bodies.invalid_input import InvalidInput
from mms.worker.requests.form_fields import (
    MAX_FORM_FIELDS,
    MAX_QUERY_PARAMETERS,
    parse_form,
    parse_query,
)

# Texts without line breaks, which end a form.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), min_size=1)


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        (b"", {}),
        (b"a=1", {"a": b"1"}),
        (b"a=1&b=2;c=3", {"a": b"1", "b": b"2", "c": b"3"}),
        (b"a", {"a": b""}),
        (b"a=", {"a": b""}),
        (b"=1", {"1": b""}),
        (b"a==b", {"a": b"=b"}),
        (b"a=1&&b=2&", {"a": b"1", "b": b"2"}),
        (b"&", {}),
        (b"=", {}),
        (b"a=1&a=2", {"a": b"2"}),
        (b"a+b=c+d%2B%26", {"a b": b"c d+&"}),
        (b"%C3%BC=%c3%a9", {"ü": "é".encode()}),
        (b"a=\xc3\xbc", {"a": "ü".encode()}),
        (b"a=%FF%00", {"a": b"\xff\x00"}),
        (b"a=1?b=2", {"a": b"1?b=2"}),
        (b"?a=1", {"?a": b"1"}),
        (b"a=1#b=2", {"a": b"1"}),
    ],
)
def test_a_query_is_cut_into_parameters(query: bytes, parameters: dict[str, bytes]) -> None:
    found = parse_query(query)
    assert found == parameters
    assert all(type(value) is bytearray for value in found.values())
    assert parse_query(bytearray(query)) == parameters


@pytest.mark.parametrize("bad", [b"%", b"%1", b"%zz", b"%1 ", b"%+1", b"%_1", b"%-1", b"%1%20"])
@pytest.mark.parametrize("parse", [parse_query, parse_form])
def test_a_bad_percent_escape_is_named(parse: type, bad: bytes) -> None:
    with pytest.raises(InvalidInput, match="percent escape"):
        parse(b"a=x" + bad + b"&b=2")


@pytest.mark.parametrize("parse", [parse_query, parse_form])
def test_names_are_utf_8_and_values_any_bytes(parse: Callable[[bytes], Any]) -> None:
    assert parse(b"a=%FF%00") == {"a": b"\xff\x00"}
    with pytest.raises(InvalidInput, match="holds '%ED%A0%80', which is not UTF-8"):
        parse(b"%ED%A0%80=1")


def test_parameters_beyond_the_limit_are_left_out() -> None:
    query = b"&".join(b"p%d=1" % n for n in range(MAX_QUERY_PARAMETERS + 5))
    assert list(parse_query(query)) == [f"p{n}" for n in range(MAX_QUERY_PARAMETERS)]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"", {}),
        (b"a=1", {"a": b"1"}),
        (b"a=1&b=2", {"a": b"1", "b": b"2"}),
        (b"a=1;b=2", {"a": b"1;b=2"}),
        (b"a=x+y%2B%26&%C3%BC=%C3%A9", {"a": b"x y+&", "ü": "é".encode()}),
        (b"a=1&a=2", {"a": b"2"}),
        (b"a=", {"a": b""}),
        (b"a=b=c", {"a": b"b=c"}),
        (b"lonely&a=1", {"lonely": b"", "a": b"1"}),
        (b"a=1&lonely", {"a": b"1"}),
        (b"a&b", {"a": b""}),
        (b'{"data": "test"}', {}),
        (b"&&", {}),
        (b"&a=1&", {"a": b"1"}),
        (b"a= 1", {"a": b" 1"}),
        (b"a%3D=1", {"a=": b"1"}),
        (b"a=\xff\x00", {"a": b"\xff\x00"}),
        (b"a=1\r\n", {"a": b"1"}),
        (b"a=1\nb=2&c=3", {"a": b"1"}),
        (b"a=1&b=2\rc&d=4", {"a": b"1", "b": b"2"}),
    ],
)
def test_a_form_is_cut_into_fields(body: bytes, fields: dict[str, bytes]) -> None:
    found = parse_form(body)
    assert found == fields
    assert all(type(value) is bytearray for value in found.values())
    assert parse_form(bytearray(body)) == fields


@pytest.mark.parametrize("body", [b"=", b"=1", b"a=1&=2"])
def test_a_field_without_a_name_is_refused_with_its_place(body: bytes) -> None:
    with pytest.raises(
        InvalidInput, match=rf"field {body.count(b'&') + 1} of the form has no name"
    ):
        parse_form(body)


def test_a_line_break_that_would_lose_much_is_refused_with_the_name_of_its_field() -> None:
    with pytest.raises(InvalidInput, match="'essay' holds a line break"):
        parse_form(b"essay=first\n" + b"x" * 2000)


def test_a_form_of_very_many_fields_is_refused() -> None:
    with pytest.raises(InvalidInput, match=f"the limit is {MAX_FORM_FIELDS}"):
        parse_form(b"&" * MAX_FORM_FIELDS)


@given(st.dictionaries(TEXTS, TEXTS, min_size=1))
def test_what_a_client_encodes_comes_out_again(fields: dict[str, str]) -> None:
    encoded = urlencode(fields).encode()
    expected = {name: value.encode() for name, value in fields.items()}
    assert parse_form(encoded) == expected
    assert parse_query(encoded) == expected


@given(st.binary() | st.text(alphabet="a=&;%+#0fz\r\n").map(str.encode))
def test_nothing_but_invalid_input_is_raised(content: bytes) -> None:
    for parse in (parse_query, parse_form):
        try:
            parse(content)
        except InvalidInput:
            pass
