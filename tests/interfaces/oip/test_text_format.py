"""Protobuf's text format, as files config.pbtxt are written in it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mms.interfaces.oip.declared.text_format import InvalidText, Message, Word, parse_text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", {}),
        ("# nothing but a comment", {}),
        ('name: "a" max: 3', {"name": ["a"], "max": [3]}),
        ("dims: 1, dims: 2; dims: [3, -4]", {"dims": [1, 2, 3, -4]}),
        ("io [ { a: 1 }, { a: 2 } ] io < a: 3 >", {"io": [{"a": [1]}, {"a": [2]}, {"a": [3]}]}),
        ("io: { } empty: []", {"io": [{}], "empty": []}),
        ("kind: KIND_CPU is: true", {"kind": ["KIND_CPU"], "is": ["true"]}),
        ("n: 0x1F n: 017 n: -1.5e3 n: .5f n: 09", {"n": [31, 15, -1500.0, 0.5, 9]}),
        (
            """t: "a" 'b"' t: "\\n\\x41\\303\\274\\u00fc\\\\" """,
            {"t": ['ab"', "\nAüü\\"]},
        ),
    ],
)
def test_a_text_is_a_message(text: str, message: Message) -> None:
    assert parse_text(text) == message
    assert parse_text(text.encode()) == message


def test_enumerations_are_told_from_texts() -> None:
    word, text = parse_text('a: KIND a: "KIND"')["a"]
    assert (type(word), type(text)) == (Word, str)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "line 1: expected a colon or a brace after a, found the end of the text"),
        ("\na: }", "line 2: expected a value, found '}'"),
        ("a: [1", "line 1: expected a comma or ], found the end of the text"),
        ("a { b: 1", "line 1: expected a field's name or }, found the end of the text"),
        ("a: 1 }", "line 1: expected a field's name, found '}'"),
        ('a: "x', "line 1: unexpected '\"x'"),
        ('a: "\\ud800"', "line 1: \\ud800 is no character"),
        ("a{" * 60, "line 1: nested more than 50 levels deep"),
        ("a: " + "1" * 5000, "line 1: a number of 5000 digits; 100 are the most"),
        ("a: 1x", "line 1: unexpected '1x'"),
    ],
)
def test_a_text_that_is_no_message_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(InvalidText) as caught:
        parse_text(text)
    assert str(caught.value) == message


def test_a_file_that_is_not_utf_8_or_too_large_is_refused() -> None:
    for data, why in ((b"\xff", "it is not UTF-8"), (b" " * (2 << 20), "bytes; 1048576 are the m")):
        with pytest.raises(InvalidText, match=why):
            parse_text(data)


@given(st.text(st.sampled_from("ab:{}<>[],;\"'\\x01.-# \n"), max_size=40))
def test_any_text_is_a_message_or_refused(text: str) -> None:
    found: Any = None
    try:
        found = parse_text(text)
    except InvalidText:
        return
    assert isinstance(found, dict)
