"""The syntax of properties files is Java's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mms.text import properties

# Lone surrogates are no characters.
_TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)


def _pairs(text: str) -> list[tuple[str, str]]:
    return [(entry.key, entry.value) for entry in properties.parse(text)]


@given(st.lists(st.tuples(_TEXTS, _TEXTS), max_size=5))
def test_what_is_written_is_read_again(entries: list[tuple[str, str]]) -> None:
    written = properties.write(entries)
    assert written.isascii()
    assert _pairs(written) == entries


@given(st.text(st.sampled_from("ab =:#!\\\n\r\t\fu0")))
def test_any_text_is_read_or_refused_with_its_line(text: str) -> None:
    try:
        properties.parse(text)
    except ValueError as error:
        assert str(error).startswith("line ")


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("key=value", ("key", "value")),
        ("key:value", ("key", "value")),
        ("key value", ("key", "value")),
        ("key \t = \f value", ("key", "value")),
        ("  key=value", ("key", "value")),
        ("key=value  ", ("key", "value  ")),
        ("key", ("key", "")),
        ("=value", ("", "value")),
        ("key==value", ("key", "=value")),
        ("key = : value", ("key", ": value")),
        ("key\\ with\\:these\\==value", ("key with:these=", "value")),
        ("key=a\\tb\\nc\\\\d\\qe", ("key", "a\tb\nc\\dqe")),
        ("key=\\u00e9\\u4E2D", ("key", "é中")),
        ("key=\\ud83d\\ude00", ("key", "\N{GRINNING FACE}")),
        ("key=a#b!c", ("key", "a#b!c")),
        ("key=a,\\\n   b,\\\n   c", ("key", "a,b,c")),
        ("key=a\\\r\nb", ("key", "ab")),
        ("key=a\\\\\nother=b", ("key", "a\\")),
        ("ke\\\ny=value", ("key", "value")),
        ("key=end\\", ("key", "end")),
    ],
)
def test_a_line_is_read_as_java_reads_it(text: str, entry: tuple[str, str]) -> None:
    assert _pairs(text)[0] == entry


@pytest.mark.parametrize("text", ["", "\n\n", "# a=b", "  ! a=b", "# joined \\", "\\\n", " \t\f\n"])
def test_comments_and_blank_lines_are_no_entries(text: str) -> None:
    assert _pairs(text) == []


def test_a_comment_is_not_continued() -> None:
    assert _pairs("# a\\\nb=c") == [("b", "c")]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_an_entry_knows_the_line_on_which_it_begins(end: str) -> None:
    lines = ["# first", "a=1\\", "  2", "", "b=3"]
    entries = properties.parse(end.join(lines))
    assert [(entry.key, entry.line) for entry in entries] == [("a", 2), ("b", 5)]


@pytest.mark.parametrize("digits", ["12", "12g4", "", "+123", " 123"])
def test_a_malformed_escape_is_refused_with_its_line(digits: str) -> None:
    with pytest.raises(ValueError, match=r"line 2: malformed \\u"):
        properties.parse(f"a=b\nkey=\\u{digits}")


def test_files_are_latin_1_as_in_java() -> None:
    assert properties.decode("key=é".encode("iso-8859-1")) == "key=é"


def test_a_byte_order_mark_makes_a_file_utf_8() -> None:
    assert properties.decode("\ufeffkey=中".encode()) == "key=中"
