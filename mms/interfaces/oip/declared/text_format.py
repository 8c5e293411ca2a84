"""Protobuf's text format, as files `config.pbtxt` are written in it, without its library or a schema.

Grammar: protobuf.dev, "Text Format Language Specification". A message is a dict in which each field is the list of its
values in their order: of dicts, texts, numbers, and `Word`s for enumerations and truths. Extensions and `Any` have no
place in such files.
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeAlias

#: Far more than any description of a model.
MAX_BYTES: Final = 1 << 20
_MAX_DEPTH: Final = 50
_MAX_DIGITS: Final = 100

Message: TypeAlias = "dict[str, list[Any]]"

_TOKEN: Final = re.compile(
    r"""(?P<space>(?:\s+|\#[^\n]*)+)
    |(?P<number>[-+]?\s*(?:0[xX][0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?[fF]?)(?![\w.]))
    |(?P<word>-?[A-Za-z_]\w*)
    |(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<sign>[{}\[\]<>:,;])""",
    re.VERBOSE | re.ASCII,
)
_ESCAPE: Final = re.compile(
    r"\\([0-7]{1,3}|[xX][0-9a-fA-F]{1,2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL
)
_ESCAPES: Final = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_ENDS: Final = {"{": "}", "<": ">"}


class InvalidText(ValueError):
    """A text is no message. The message says what is wrong, and in which line."""


class Word(str):
    """A name without quotes: of an enumeration, or `true` and `false`."""

    __slots__ = ()


def parse_text(data: bytes | str) -> Message:
    """Return the message that a text is. Raises InvalidText."""
    if len(data) > MAX_BYTES:
        raise InvalidText(f"it has {len(data)} bytes; {MAX_BYTES} are the most")
    try:
        text = data if isinstance(data, str) else data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidText(f"it is not UTF-8: {error.reason} at byte {error.start}") from None
    return _Reader(text).read()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        #: Of the token that is next: its kind, "" at the end; its text; where it begins.
        self._kind = self._token = ""
        self._start = 0
        self._advance()

    def read(self) -> Message:
        found = self._fields("", 0)
        if self._kind:
            raise self._wrong("a field's name")
        return found

    def _advance(self) -> None:
        while self._at < len(self._text):
            match = _TOKEN.match(self._text, self._at)
            self._start = self._at
            if match is None:
                raise self._invalid(f"unexpected {self._text[self._at : self._at + 20]!r}")
            self._at = match.end()
            kind = match.lastgroup or ""
            if kind != "space":
                self._kind, self._token = kind, match.group()
                return
        self._kind = self._token = ""
        self._start = self._at

    def _fields(self, end: str, depth: int) -> Message:
        if depth > _MAX_DEPTH:
            raise self._invalid(f"nested more than {_MAX_DEPTH} levels deep")
        found: Message = {}
        while self._kind == "word":
            name = self._token
            self._advance()
            values = found.setdefault(name, [])
            has_colon = self._take(":")
            if self._kind == "sign" and self._token in _ENDS:
                values.append(self._message(depth))
            elif self._take("["):
                self._list(values, depth)
            elif not has_colon:
                raise self._wrong(f"a colon or a brace after {name}")
            else:
                values.append(self._scalar())
            # Between fields both are allowed, and mean nothing.
            if not self._take(","):
                self._take(";")
        if end and not self._take(end):
            raise self._wrong(f"a field's name or {end}")
        return found

    def _message(self, depth: int) -> Message:
        end = _ENDS[self._token]
        self._advance()
        return self._fields(end, depth + 1)

    def _list(self, values: list[Any], depth: int) -> None:
        if self._take("]"):
            return
        while True:
            if self._kind == "sign" and self._token in _ENDS:
                values.append(self._message(depth))
            else:
                values.append(self._scalar())
            if self._take("]"):
                return
            if not self._take(","):
                raise self._wrong("a comma or ]")

    def _scalar(self) -> Any:
        kind, token = self._kind, self._token
        if kind == "text":
            parts = []
            # Texts that stand side by side are one.
            while self._kind == "text":
                parts.append(self._unescaped(self._token[1:-1]))
                self._advance()
            return b"".join(parts).decode("utf-8", "replace")
        if kind == "word":
            self._advance()
            return Word(token)
        if kind == "number":
            self._advance()
            return self._number(token)
        raise self._wrong("a value")

    def _unescaped(self, text: str) -> bytes:
        def byte_of(match: re.Match[str]) -> str:
            escape = match[1]
            if escape[0] in "01234567":
                return chr(int(escape, 8) & 0xFF)
            if escape[0] in "xX" and len(escape) > 1:
                return chr(int(escape[1:], 16))
            if escape[0] in "uU" and len(escape) > 1:
                number = int(escape[1:], 16)
                if number > 0x10FFFF or 0xD800 <= number < 0xE000:
                    raise self._invalid(f"\\{escape} is no character")
                return chr(number).encode().decode("latin-1")
            return chr(_ESCAPES.get(escape, ord(escape) & 0xFF))

        # By bytes: escapes are bytes of UTF-8.
        return _ESCAPE.sub(byte_of, text.encode().decode("latin-1")).encode("latin-1")

    def _number(self, token: str) -> int | float:
        text = "".join(token.split())
        sign = -1 if text.startswith("-") else 1
        digits = text.lstrip("+-")
        if len(digits) > _MAX_DIGITS:
            raise self._invalid(f"a number of {len(digits)} digits; {_MAX_DIGITS} are the most")
        if digits[:2] in ("0x", "0X"):
            return sign * int(digits, 16)
        if not digits.isdigit():
            return sign * float(digits.rstrip("fF"))
        # Octal where it begins with 0, as in C.
        is_octal = digits[0] == "0" and not set(digits) & {"8", "9"}
        return sign * int(digits, 8 if is_octal else 10)

    def _take(self, sign: str) -> bool:
        if self._kind != "sign" or self._token != sign:
            return False
        self._advance()
        return True

    def _wrong(self, wanted: str) -> InvalidText:
        found = repr(self._token[:40]) if self._kind else "the end of the text"
        return self._invalid(f"expected {wanted}, found {found}")

    def _invalid(self, problem: str) -> InvalidText:
        line = self._text.count("\n", 0, self._start) + 1
        return InvalidText(f"line {line}: {problem}")
