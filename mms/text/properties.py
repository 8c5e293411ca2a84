"""The syntax of Java properties files, sans-IO.

Source: java.util.Properties. Natural lines end with CR, LF or CR LF; an odd number of backslashes before it joins the
next one, without its leading blanks. `#` or `!` begins a comment. A key ends at the first `=`, `:` or blank that has no
backslash before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_BLANKS = " \t\f"
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


@dataclass(frozen=True, slots=True)
class Property:
    """One entry. `line` counts from 1 and is the one on which the entry begins."""

    key: str
    value: str
    line: int


def decode(data: bytes) -> str:
    """ISO-8859-1, as Java reads properties files; UTF-8 where a byte order mark says so."""
    if data.startswith(b"\xef\xbb\xbf"):
        return data[3:].decode("utf-8", "replace")
    return data.decode("iso-8859-1")


def parse(text: str) -> list[Property]:
    """Return all entries, in order, repeated keys included: the last one counts.

    Raises ValueError, with the number of the line, for a malformed `\\uXXXX`.
    """
    entries = []
    for number, line in _logical_lines(text):
        key, value = _split(line)
        try:
            entries.append(Property(_unescape(key), _unescape(value), number))
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    return entries


def write(entries: list[tuple[str, str]]) -> str:
    """Return a text that `parse` reads as these entries; ASCII alone."""
    return "".join(f"{_escape(k, is_key=True)}={_escape(v, is_key=False)}\n" for k, v in entries)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    parts: list[str] = []
    begin = 0
    natural = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for number, raw in enumerate(natural, 1):
        line = raw.lstrip(_BLANKS)
        if not parts:
            if not line or line[0] in "#!":
                continue
            begin = number
        backslashes = len(line) - len(line.rstrip("\\"))
        if backslashes % 2:
            parts.append(line[:-1])
            continue
        parts.append(line)
        joined = "".join(parts)
        parts = []
        if joined:
            yield begin, joined
    joined = "".join(parts)
    if joined:
        yield begin, joined


def _split(line: str) -> tuple[str, str]:
    at = 0
    while at < len(line) and line[at] not in "=:" and line[at] not in _BLANKS:
        at += 2 if line[at] == "\\" else 1
    key, rest = line[:at], line[at:].lstrip(_BLANKS)
    if rest[:1] in ("=", ":"):
        rest = rest[1:].lstrip(_BLANKS)
    return key, rest


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    out = []
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if char != "\\":
            out.append(char)
            continue
        if at == len(text):
            break
        char = text[at]
        at += 1
        if char == "u":
            digits = text[at : at + 4]
            try:
                if len(digits) != 4 or not digits.isalnum():
                    raise ValueError
                out.append(chr(int(digits, 16)))
            except ValueError:
                raise ValueError(
                    f"malformed \\u{digits}, four hexadecimal digits belong there"
                ) from None
            at += 4
        else:
            out.append(_ESCAPES.get(char, char))
    joined = "".join(out)
    # A pair of \u escapes may stand for one character beyond the first 65,536.
    return joined.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _escape(text: str, *, is_key: bool) -> str:
    out = []
    for position, char in enumerate(text):
        if char in "\t\n\r\f":
            out.append("\\" + {v: k for k, v in _ESCAPES.items()}[char])
        elif char == "\\" or (is_key and char in "=:#! ") or (char == " " and position == 0):
            out.append("\\" + char)
        elif " " <= char <= "~":
            out.append(char)
        else:
            units = char.encode("utf-16-be", "surrogatepass")
            out.extend(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
    return "".join(out)
