"""The wire format of protobuf: numbers and length-delimited fields, without its library."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Any, Final

#: How a field's content is written: the lower three bits of its tag.
VARINT: Final = 0
FIXED64: Final = 1
DELIMITED: Final = 2
FIXED32: Final = 5
_SIZES: Final = {FIXED64: 8, FIXED32: 4}
#: A number of 64 bits takes no more bytes.
_MAX_SHIFT: Final = 63

_double = Struct("<d").unpack_from


class BrokenMessage(ValueError):
    """Bytes that are no message. The text says what is wrong with them."""


def varint(number: int) -> bytes:
    """Base 128, the lowest seven bits first."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def read_varint(buffer: Any, at: int) -> tuple[int, int]:
    """(number, where it ends). Raises IndexError past the end, and for a number of more than ten bytes."""
    number = shift = 0
    while True:
        byte = int(buffer[at])
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
        if shift > _MAX_SHIFT:
            raise IndexError("a number of more than ten bytes")


def field(tag: int, *parts: bytes | bytearray | memoryview) -> bytes:
    """Return a length-delimited field: the tag byte, the length, the parts."""
    return b"".join((bytes((tag,)), varint(sum(map(len, parts))), *parts))


def read_fields(
    buffer: Any, at: int, end: int, most: int | None = None
) -> Iterator[tuple[int, int, int]]:
    """Yield (tag, start, stop) of the fields of a message between two places of a buffer.

    A tag is the field's number and, in its lower three bits, how its content is written. Of a VARINT `start` is the
    number itself. Raises BrokenMessage, also where there are more fields than `most`.
    """
    try:
        while at < end:
            if most is not None:
                most -= 1
                if most < 0:
                    raise BrokenMessage("it has too many fields")
            tag = buffer[at]
            at += 1
            if tag > 0x7F:
                tag, at = read_varint(buffer, at - 1)
            kind = tag & 7
            if kind == DELIMITED:
                size = buffer[at]
                at += 1
                if size > 0x7F:
                    size, at = read_varint(buffer, at - 1)
                start, at = at, at + size
            elif kind == VARINT:
                start, at = read_varint(buffer, at)
            else:
                if kind not in _SIZES:
                    raise BrokenMessage(f"a field is written in the unknown way {kind}")
                start, at = at, at + _SIZES[kind]
            if at > end:
                raise BrokenMessage("a field goes beyond its end")
            yield tag, start, at
    except IndexError:
        raise BrokenMessage("it breaks off within a field") from None


def read_text(buffer: Any, start: int, stop: int) -> str:
    """Return the text of a length-delimited field. Raises BrokenMessage for what is no UTF-8."""
    try:
        return str(buffer[start:stop], "utf-8")
    except UnicodeDecodeError:
        raise BrokenMessage("a text is not UTF-8") from None


def signed(number: int) -> int:
    """Return an int64 or int32 of the number that a VARINT has for it."""
    number &= 0xFFFFFFFFFFFFFFFF
    return number - (1 << 64) if number >> 63 else number


def read_double(buffer: Any, start: int) -> float:
    """Return the number of a FIXED64 field."""
    found: float = _double(buffer, start)[0]
    return found
