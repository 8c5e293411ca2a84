"""Integers beyond 64 bits in JSON, which fast parsers turn into floats and Python's keeps exact."""

from __future__ import annotations

import re
from typing import Final


def _classes() -> bytes:
    """For each byte what it is of a number: a digit, a sign of fractions and exponents, or neither."""
    table = bytearray(b" " * 256)
    for sign in b"0123456789":
        table[sign] = ord("0")
    for sign in b".eE+":
        table[sign] = ord(".")
    return bytes(table)


_CLASSES: Final = _classes()
#: -(2**63) - 1 has 19 digits, 2**64 has 20.
_RUN: Final = b"0" * 19
_RUN_WITHIN: Final = b" " + _RUN
_LONG: Final = re.compile(rb"(?<![\d.eE+-])(?:-\d{19}|\d{20})")


def has_long_integer(text: bytes | bytearray | memoryview | str) -> bool:
    """Whether a JSON text may have an integer that 64 bits cannot hold. In less than the time of a fast parser."""
    if len(text) < len(_RUN):
        return False
    if isinstance(text, str):
        text = text.encode("utf-8", "replace")
    elif isinstance(text, memoryview):
        text = bytes(text)
    classes = text.translate(_CLASSES)
    if _RUN_WITHIN not in classes and not classes.startswith(_RUN):
        return False
    return _LONG.search(text) is not None
