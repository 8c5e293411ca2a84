"""JSON as Gson reads it leniently: what MMS's clients may send to register a model.

Beyond JSON: single quotes and no quotes, comments (`//`, `#`, `/* */`), `;` for `,`, `=` or `=>` for `:`.
"""

from __future__ import annotations

import re
from typing import Any, Final

from mms.bodies.large_json import read_patiently

_BLANKS = " \t\r\n\ufeff"
#: What ends a text without quotes.
_ENDS = "{}[]:,;=\"'#/\\" + _BLANKS
_BLANK_RUN: Final = re.compile(f"[{_BLANKS}]*")
#: Pieces of texts: others have to wait while one is matched, so none is longer than this.
_QUOTED_PIECE: Final = {quote: re.compile(rf"[^\\{quote}]{{0,65536}}") for quote in ("'", '"')}
_UNQUOTED: Final = re.compile(f"[^{re.escape(_ENDS)}]*")
_ESCAPES = {"t": "\t", "b": "\b", "n": "\n", "r": "\r", "f": "\f", "\n": "\n"}
_MAX_DEPTH = 64


class LenientJsonError(ValueError):
    """Text that is no JSON, even leniently. The message says where."""


def loads(text: str) -> Any:
    """Return the value of a text. Raises LenientJsonError."""
    try:
        return read_patiently(text)
    except (ValueError, RecursionError):
        # Some services put this before their JSON, so that no page can run it; Gson skips it.
        parser = _Parser(text.lstrip(_BLANKS).removeprefix(")]}'\n"))
        value = parser.value(0)
        parser.end()
        return value


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def _error(self, wanted: str) -> LenientJsonError:
        line = self._text.count("\n", 0, self._at) + 1
        column = self._at - (self._text.rfind("\n", 0, self._at) + 1) + 1
        return LenientJsonError(f"{wanted} expected at line {line} column {column}")

    def _skip(self) -> str:
        """Go to the next character that is neither blank nor comment; returns it, or '' at the end."""
        text = self._text
        while True:
            blanks = _BLANK_RUN.match(text, self._at)
            self._at = self._at if blanks is None else blanks.end()
            char = text[self._at : self._at + 1]
            if not char:
                return ""
            if char == "#" or text.startswith("//", self._at):
                end = text.find("\n", self._at)
                self._at = len(text) if end < 0 else end + 1
            elif text.startswith("/*", self._at):
                end = text.find("*/", self._at + 2)
                if end < 0:
                    raise self._error("end of a comment")
                self._at = end + 2
            else:
                return char

    def end(self) -> None:
        if self._skip():
            raise self._error("end of the text")

    def value(self, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise LenientJsonError(f"nested deeper than {_MAX_DEPTH}")
        char = self._skip()
        if char == "{":
            return self._object(depth)
        if char == "[":
            return self._array(depth)
        if char in ("'", '"') and char:
            return self._quoted(char)
        return self._literal()

    def _object(self, depth: int) -> dict[str, Any]:
        self._at += 1
        members: dict[str, Any] = {}
        while True:
            char = self._skip()
            if char == "}":
                self._at += 1
                return members
            name = self._quoted(char) if char in ("'", '"') and char else self._unquoted()
            if self._skip() not in (":", "="):
                raise self._error("':'")
            self._at += 1
            if self._text.startswith(">", self._at):
                self._at += 1
            members[name] = self.value(depth + 1)
            char = self._skip()
            if char in (",", ";") and char:
                self._at += 1
            elif char != "}":
                raise self._error("',' or '}'")

    def _array(self, depth: int) -> list[Any]:
        self._at += 1
        items: list[Any] = []
        while True:
            char = self._skip()
            if char == "]":
                self._at += 1
                return items
            items.append(self.value(depth + 1))
            char = self._skip()
            if char in (",", ";") and char:
                self._at += 1
            elif char != "]":
                raise self._error("',' or ']'")

    def _quoted(self, quote: str) -> str:
        self._at += 1
        out: list[str] = []
        text = self._text
        while self._at < len(text):
            piece = _QUOTED_PIECE[quote].match(text, self._at)
            if piece is not None and piece[0]:
                out.append(piece[0])
                self._at = piece.end()
                continue
            char = text[self._at]
            self._at += 1
            if char == quote:
                return "".join(out)
            char = text[self._at : self._at + 1]
            self._at += 1
            if char == "u":
                digits = text[self._at : self._at + 4]
                try:
                    out.append(chr(int(digits, 16)))
                except ValueError:
                    raise self._error("four hexadecimal digits") from None
                self._at += 4
            else:
                out.append(_ESCAPES.get(char, char))
        raise self._error("end of a text in quotes")

    def _unquoted(self) -> str:
        begin = self._at
        word = _UNQUOTED.match(self._text, begin)
        if word is None or not word[0]:
            raise self._error("a value")
        self._at = word.end()
        return word[0]

    def _literal(self) -> Any:
        word = self._unquoted()
        lowered = word.lower()
        if lowered in ("true", "false"):
            return lowered == "true"
        if lowered == "null":
            return None
        try:
            return int(word)
        except ValueError:
            pass
        try:
            return float(word)
        except ValueError:
            return word
