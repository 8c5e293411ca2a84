"""Compressed answers, in codings that clients say they can read."""

from __future__ import annotations

import zlib
from typing import Final

#: Shorter answers are sent as they are, in bytes.
MIN_COMPRESSED_BYTES: Final = 1024
#: The fastest one: an answer waits for it.
_LEVEL: Final = 1
#: As zlib has them. HTTP's deflate is zlib's format (RFC 9110, section 8.4.1.2).
_WINDOW_BITS: Final = {b"gzip": 31, b"deflate": 15}
_HEADER: Final = b"accept-encoding"


def accepted_coding(headers: bytes) -> bytes:
    """Return gzip or deflate where a client's headers name it, the one that it likes better; else nothing."""
    if _HEADER not in headers.lower():
        return b""
    lines = headers.split(b"\n")
    best, best_weight = b"", 0.0
    for name, value in zip(lines[::2], lines[1::2], strict=False):
        if name.lower() != _HEADER:
            continue
        for word in value.lower().split(b","):
            coding, _, options = word.partition(b";")
            coding = coding.strip()
            weight = _weight(options)
            if coding in _WINDOW_BITS and weight > best_weight:
                best, best_weight = coding, weight
    return best


def _weight(options: bytes) -> float:
    name, sign, value = options.strip().partition(b"=")
    if not sign or name.strip() != b"q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def compress(data: bytes, coding: bytes) -> bytes:
    """`coding`: gzip or deflate."""
    coder = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS[coding])
    return coder.compress(data) + coder.flush()
