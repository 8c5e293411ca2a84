"""`json.dumps(value, indent=2)`, to the byte, several times as fast for the usual types."""

from __future__ import annotations

from json import JSONEncoder, dumps
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any

#: From this length on, a list of scalars is worth an encoder of its own, which is C.
_LONG = 16
_SCALARS = {float, int, str, bool, type(None)}


class _Unusual(Exception):
    """A type that is left to the standard library."""


def indented(value: Any) -> str:
    """Return JSON in MMS's layout; `_form` gives what JSON does not have. Raises what `json.dumps` raises."""
    pieces: list[str] = []
    try:
        _write(value, "\n", pieces.append)
    except (_Unusual, RecursionError):
        # Also tells a structure that contains itself from one that is merely deep.
        try:
            return dumps(value, indent=2, default=_form)
        except TypeError:
            # Of all that may be wrong, keys are what `default` is not asked about.
            return dumps(_keyed(value), indent=2, default=lambda other: _keyed(_form(other)))
    return "".join(pieces)


def in_line(value: Any) -> str:
    """Return JSON in one line, of the same values. Raises what `json.dumps` raises."""
    try:
        return dumps(value, separators=(",", ":"), default=_form)
    except TypeError:
        return dumps(
            _keyed(value), separators=(",", ":"), default=lambda other: _keyed(_form(other))
        )


def _form(value: Any) -> Any:
    """Return numbers and arrays of numpy, dataclasses, dates and their like; what MMS refuses stays refused."""
    from mms.bodies.json_text import json_form

    if isinstance(value, set | frozenset | BaseException):
        raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
    return json_form(value)


def _keyed(value: Any) -> Any:
    """Return the same with keys that JSON can hold, where they are numbers of numpy, dates and their like."""
    if isinstance(value, dict):
        return {_key(key): _keyed(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_keyed(member) for member in value]
    return value


def _key(key: Any) -> Any:
    if key is None or isinstance(key, str | int | float):
        return key
    form = _form(key)
    return form if form is None or isinstance(form, str | int | float) else key


def _write(value: Any, line: str, write: Any) -> None:
    """Write a value. `line`: a line break and the indentation of what `value` stands in."""
    kind = type(value)
    if kind is str:
        write(_quoted(value))
    elif kind is int:
        write(int.__repr__(value))
    elif kind is float:
        write(_number(value))
    elif value is None:
        write("null")
    elif kind is bool:
        write("true" if value else "false")
    elif kind is list or kind is tuple:
        if not value:
            write("[]")
            return
        inner = line + "  "
        following = "," + inner
        if len(value) >= _LONG and _SCALARS.issuperset(map(type, value)):
            flat = JSONEncoder(separators=(following, ": ")).encode(value)
            write(f"[{inner}{flat[1:-1]}{line}]")
            return
        separator = "[" + inner
        for member in value:
            write(separator)
            separator = following
            kind = type(member)
            if kind is float:
                write(_number(member))
            elif kind is str:
                write(_quoted(member))
            else:
                _write(member, inner, write)
        write(line + "]")
    elif kind is dict:
        if not value:
            write("{}")
            return
        inner = line + "  "
        separator = "{" + inner
        following = "," + inner
        for key, member in value.items():
            if type(key) is not str:
                raise _Unusual
            write(separator + _quoted(key) + ": ")
            separator = following
            kind = type(member)
            if kind is str:
                write(_quoted(member))
            elif kind is float:
                write(_number(member))
            else:
                _write(member, inner, write)
        write(line + "}")
    else:
        raise _Unusual


def _number(value: float) -> str:
    text = float.__repr__(value)
    if text[-1] in "nf":
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[text]
    return text
