"""The wire format of protobuf: numbers and length-delimited fields, without its library."""

from __future__ import annotations

from typing import Any


def varint(number: int) -> bytes:
    """Base 128, the lowest seven bits first."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def read_varint(buffer: Any, at: int) -> tuple[int, int]:
    """(number, where it ends). Raises IndexError past the end."""
    number = shift = 0
    while True:
        byte = int(buffer[at])
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7


def field(tag: int, *parts: bytes | bytearray | memoryview) -> bytes:
    """Return a length-delimited field: the tag byte, the length, the parts."""
    return b"".join((bytes((tag,)), varint(sum(map(len, parts))), *parts))
