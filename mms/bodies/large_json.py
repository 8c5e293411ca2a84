"""JSON that is too large for the event loop to read by itself, and how threads read it without holding everybody up.

A thread alone is not enough: a parser written in C keeps the interpreter to itself until it is done.
"""

from __future__ import annotations

import asyncio
import codecs
import json
import json.scanner
import re
from collections.abc import Callable, Collection
from typing import Any, Final, ParamSpec, TypeVar

#: What the event loop reads itself, in bytes: it takes about a millisecond, and a thread's answer half of one.
LOOP_BYTES: Final = 64 * 1024

_P = ParamSpec("_P")
_T = TypeVar("_T")


async def apart(size_bytes: int, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Call `work` here where what it reads is small, else in a thread. Raises what it raises."""
    if size_bytes <= LOOP_BYTES:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)


class _PatientDecoder(json.JSONDecoder):
    """Reads the same as `json.loads`, value by value, so that other threads have their turns in between."""

    def __init__(self) -> None:
        super().__init__()
        self.scan_once = json.scanner.py_make_scanner(self)  # type: ignore[attr-defined]


def read_patiently(text: str) -> Any:
    """Return the value of a JSON text, as `json.loads` does. Raises ValueError, RecursionError."""
    if len(text) <= LOOP_BYTES:
        return json.loads(text)
    return _PatientDecoder().decode(text)


#: What is matched at once, in bytes: other threads have to wait meanwhile.
_MATCH_BYTES: Final = 64 * 1024
_BLANKS: Final = re.compile(rb"[ \t\r\n]{0,65536}")
#: A piece of a text that has many escapes.
_ESCAPED: Final = re.compile(rb'(?:\\.[^"\\]{0,32}){1,2000}', re.DOTALL)
#: Up to the next bracket or text of a value that is passed over.
_FILLING: Final = re.compile(rb'[^"\[\]{}]{0,65536}')
_PLAIN: Final = re.compile(rb"[^ \t\r\n,}\]]{0,65536}")
#: Parsers refuse what is nested more deeply.
_MOST_NESTED: Final = 1024


class NestedTooDeep(ValueError):
    """No parser would read it."""


def members_of(body: bytes | bytearray, names: Collection[str]) -> dict[str, Any]:
    """Return those members of the object in a body, at its top, that are texts, numbers or truths, by these names.

    Nothing else is read. What comes before something that is no JSON counts; a body that is no object has no members.
    Raises NestedTooDeep.
    """
    found: dict[str, Any] = {}
    wanted = {name.encode(): name for name in names}
    at = _after_blanks(body, len(codecs.BOM_UTF8) if body.startswith(codecs.BOM_UTF8) else 0)
    if body[at : at + 1] != b"{":
        return found
    at += 1
    while True:
        at = _behind_others(body, at, wanted)
        at = _after_blanks(body, at)
        name_at, at = at, _end_of_text(body, at)
        if at < 0:
            return found
        key: Any = body[name_at + 1 : at - 1]
        if b"\\" in key:
            key = _value(body[name_at:at])
        else:
            key = wanted.get(bytes(key))
        at = _after_blanks(body, at)
        if body[at : at + 1] != b":":
            return found
        begin = _after_blanks(body, at + 1)
        end = _end_of_value(body, begin)
        if end < 0:
            return found
        if key in names:
            # The last one of a name counts, as for parsers.
            found.pop(key, None)
            value = None if body[begin] in b"[{" else _value(body[begin:end])
            if value is not None:
                found[key] = value
        at = _after_blanks(body, end)
        if body[at : at + 1] != b",":
            return found
        at += 1


def _behind_others(body: bytes | bytearray, at: int, names: Collection[bytes]) -> int:
    """Where short members end that begin here, and in which none of the names is."""
    while (short := _SHORT.match(body, at)) is not None:
        members = short.group()
        if b"\\" in members or any(name in members for name in names):
            break
        at = short.end()
    return at


def _after_blanks(body: bytes | bytearray, at: int) -> int:
    return _behind(_BLANKS, body, at)


def _behind(pattern: re.Pattern[bytes], body: bytes | bytearray, at: int) -> int:
    """Where the bytes end that are of a pattern, which is for no more than `_MATCH_BYTES` of them."""
    while True:
        begin = at
        found = pattern.match(body, at)
        at = at if found is None else found.end()
        if at - begin < _MATCH_BYTES:
            return at


def _end_of_value(body: bytes | bytearray, at: int, before: int | None = None) -> int:
    """Return where a value ends that begins here; -1 where it does not, or not `before` so much of the body."""
    if at >= len(body):
        return -1
    if body[at] not in b"[{":
        if body[at : at + 1] == b'"':
            return _end_of_text(body, at)
        end = _behind(_PLAIN, body, at)
        return end if end > at else -1
    depth = 0
    while True:
        at = _behind(_FILLING, body, at)
        if at >= (len(body) if before is None else min(before, len(body))):
            return -1
        if body[at] in b"[{":
            depth += 1
            at += 1
            if depth > _MOST_NESTED:
                raise NestedTooDeep("the JSON is nested too deep")
        elif body[at] in b"]}":
            depth -= 1
            at += 1
            if not depth:
                return at
        else:
            at = _end_of_text(body, at)
            if at < 0:
                return -1


def _end_of_text(body: bytes | bytearray, at: int) -> int:
    """Return where a text ends that begins here; -1 where it does not."""
    if body[at : at + 1] != b'"':
        return -1
    at += 1
    quote = -1
    while True:
        if quote < at:
            quote = body.find(b'"', at)
            if quote < 0:
                return -1
        at = body.find(b"\\", at, quote)
        if at < 0:
            return quote + 1
        escaped = _ESCAPED.match(body, at)
        if escaped is None:
            return -1
        at = escaped.end()


def _value(text: bytes | bytearray) -> Any:
    """None for what is no JSON."""
    try:
        return json.loads(bytes(text))
    except ValueError:
        return None


# Whole values, in pieces

#: What a parser gets at once, in bytes, unless one text or number is longer.
_PIECE_BYTES: Final = 64 * 1024
#: Containers above a piece within each other; deeper ones are read value by value.
_MAX_DEPTH: Final = 8
_SHORT_TEXT: Final = rb'"[^"\\]{0,1024}(?:\\.[^"\\]{0,1024}){0,16}"'
_FLAT: Final = rb'[\[{][^"\[\]{}]{0,1024}(?:%b[^"\[\]{}]{0,1024}){0,32}[\]}]' % _SHORT_TEXT
_NESTED: Final = rb'[\[{][^"\[\]{}]{0,1024}(?:(?:%b|%b)[^"\[\]{}]{0,1024}){0,32}[\]}]' % (
    _SHORT_TEXT,
    _FLAT,
)
#: Some members or items that are short, up to the comma behind the last: most bodies have nothing else.
_SHORT: Final = re.compile(
    rb'(?:[^",\[\]{}]{0,1024}(?:(?:%b|%b)[^",\[\]{}]{0,1024}){0,2},){1,64}'
    % (_SHORT_TEXT, _NESTED),
    re.DOTALL,
)
_NO_COMMA: Final = re.compile(rb'[^",\[\]{}]{0,65536}')


def read_in_pieces(body: bytes | bytearray | memoryview, loads: Callable[[bytes], Any]) -> Any:
    """Return the JSON value of a body as `loads` does, which gets no more than a piece of it at once.

    So fast parsers hold up other threads for no longer than a piece takes. Raises ValueError.
    """
    if len(body) <= LOOP_BYTES:
        return loads(bytes(body))
    if isinstance(body, memoryview):
        body = bytes(body)
    try:
        begin = _after_blanks(body, 0)
        if body[begin] not in b"[{":
            raise ValueError("no array or object")
        value, end = _container(body, begin, loads, 0)
        if _after_blanks(body, end) != len(body):
            raise ValueError("more than one value")
        return value
    except (ValueError, IndexError):
        # No JSON, or another coding: the usual parser tells what is wrong, and where.
        whole = bytes(body)
    try:
        return read_patiently(whole.decode(json.detect_encoding(whole), "surrogatepass"))
    except RecursionError:
        raise ValueError("the JSON is nested too deep") from None


def _container(
    body: bytes | bytearray, at: int, loads: Callable[[bytes], Any], depth: int
) -> tuple[Any, int]:
    """Return the value of an array or object that begins here, and where it ends. Raises ValueError."""
    if depth == _MAX_DEPTH:
        raise ValueError("nested too deep")
    is_array = body[at] == ord("[")
    first, last = (b"[", b"]") if is_array else (b"{", b"}")
    found: Any = [] if is_array else {}
    add = found.extend if is_array else found.update

    def read(end: int, *, may_be_empty: bool = False) -> None:
        part = loads(first + body[begin:end] + last)
        if not part and not may_be_empty:
            raise ValueError("nothing between commas")
        add(part)

    at += 1
    #: Where the items begin that are not read yet, and the last comma between them.
    begin = start = at
    comma = -1
    while True:
        short = _SHORT.match(body, at)
        if short is not None:
            at = short.end()
            comma = at - 1
            if at - begin >= _PIECE_BYTES:
                read(comma)
                begin = at
            continue
        run = _NO_COMMA.match(body, at)
        at = at if run is None else run.end()
        char = body[at : at + 1]
        if char == b",":
            comma = at
            at += 1
        elif char == b'"':
            at = _end_of_text(body, at)
            if at < 0:
                raise ValueError("a text without end")
        elif char == last:
            read(at, may_be_empty=begin == start)
            return found, at + 1
        elif char in (b"[", b"{"):
            end = _end_of_value(body, at, at + _PIECE_BYTES)
            if end >= 0:
                at = end
            else:
                if comma >= begin:
                    read(comma)
                    begin = comma + 1
                before = body[begin:at].rstrip()
                if before[-1:] != (b"" if is_array else b":"):
                    raise ValueError("a container behind a value")
                name = () if is_array else loads(b"{%b0}" % bytes(before))
                value, at = _container(body, at, loads, depth + 1)
                add([value] if is_array else dict.fromkeys(name, value))
                at = _after_blanks(body, at)
                if body[at : at + 1] == last:
                    return found, at + 1
                if body[at : at + 1] != b",":
                    raise ValueError("no comma")
                at += 1
                begin, comma = at, -1
        elif not char or char in b"]}":
            raise ValueError("no end")
        if at - begin >= _PIECE_BYTES and comma >= begin:
            read(comma)
            begin = comma + 1
