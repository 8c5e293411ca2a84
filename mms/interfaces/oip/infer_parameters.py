"""Parameters in gRPC's messages of inference: `map<string, InferParameter>`. No numpy here, as the front reads some."""

from __future__ import annotations

from collections.abc import Mapping
from struct import pack
from typing import Any, Final

from mms.bodies.protobuf_wire import (
    BrokenMessage,
    field,
    read_double,
    read_fields,
    read_text,
    signed,
    varint,
)
from mms.text.brief import brief

#: Of a map's entry.
_KEY: Final = 1 << 3 | 2
_VALUE: Final = 2 << 3 | 2
#: Of an InferParameter.
_BOOL: Final = 1 << 3
_INT64: Final = 2 << 3
_STRING: Final = 3 << 3 | 2
_DOUBLE: Final = 4 << 3 | 1
_UINT64: Final = 5 << 3
_MAX_INT64: Final = 2**63 - 1


def read_entry(buffer: Any, start: int, stop: int) -> tuple[str, bool | int | float | str | None]:
    """Return (name, value) of an entry; None for one without a value. Raises BrokenMessage."""
    name = ""
    value: bool | int | float | str | None = None
    for tag, at, end in read_fields(buffer, start, stop):
        if tag == _KEY:
            name = read_text(buffer, at, end)
        elif tag == _VALUE:
            value = _read_value(buffer, at, end)
    return name, value


def _read_value(buffer: Any, start: int, stop: int) -> bool | int | float | str | None:
    value: bool | int | float | str | None = None
    for tag, at, end in read_fields(buffer, start, stop):
        if tag == _INT64:
            value = signed(at)
        elif tag == _STRING:
            value = read_text(buffer, at, end)
        elif tag == _BOOL:
            value = bool(at)
        elif tag == _DOUBLE:
            value = read_double(buffer, at)
        elif tag == _UINT64:
            value = at & 0xFFFFFFFFFFFFFFFF
    return value


def write_entries(tag: int, parameters: Mapping[str, Any]) -> bytes:
    """Return the entries of a map, each as a field of that tag. Raises BrokenMessage for a value of no such kind."""
    return b"".join(
        field(tag, field(_KEY, name.encode("utf-8", "replace")), field(_VALUE, _value(name, value)))
        for name, value in parameters.items()
    )


def _value(name: str, value: Any) -> bytes:
    if isinstance(value, bool):
        return bytes((_BOOL, value))
    if isinstance(value, int) and -(2**63) <= value < 2**64:
        tag = _UINT64 if value > _MAX_INT64 else _INT64
        return bytes((tag,)) + varint(value & 0xFFFFFFFFFFFFFFFF)
    if isinstance(value, float):
        return bytes((_DOUBLE,)) + pack("<d", value)
    if isinstance(value, str):
        return field(_STRING, value.encode("utf-8", "replace"))
    raise BrokenMessage(f"the parameter {brief(name)} is none of bool, int, float and str")
