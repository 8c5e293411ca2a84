"""HTTP/2 on the wire: frames and their numbers (RFC 9113)."""

from __future__ import annotations

import struct
from collections.abc import Mapping

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

# Types of frames.
DATA = 0
HEADERS = 1
PRIORITY = 2
RST_STREAM = 3
SETTINGS = 4
PUSH_PROMISE = 5
PING = 6
GOAWAY = 7
WINDOW_UPDATE = 8
CONTINUATION = 9

# Flags.
ACK = 0x1
END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8
HAS_PRIORITY = 0x20

# Error codes.
NO_ERROR = 0
PROTOCOL_ERROR = 1
FLOW_CONTROL_ERROR = 3
STREAM_CLOSED = 5
FRAME_SIZE_ERROR = 6
REFUSED_STREAM = 7
CANCEL = 8
COMPRESSION_ERROR = 9
ENHANCE_YOUR_CALM = 11

# Settings.
HEADER_TABLE_SIZE = 1
MAX_CONCURRENT_STREAMS = 3
INITIAL_WINDOW_SIZE = 4
MAX_FRAME_SIZE = 5
MAX_HEADER_LIST_SIZE = 6

#: What holds until the other side's settings say otherwise, in bytes.
DEFAULT_WINDOW_BYTES = 65535
DEFAULT_FRAME_BYTES = 16384
MAX_WINDOW_BYTES = 2**31 - 1
LARGEST_FRAME_BYTES = 2**24 - 1

HEADER_BYTES = 9
#: High 16 bits of the length, its low 8 bits, type, flags, stream.
read_header = struct.Struct(">HBBBI").unpack_from
_pack_header = struct.Struct(">HBBBI").pack
_pack_word = struct.Struct(">I").pack
_SETTING = struct.Struct(">HI")
STREAM_MASK = 0x7FFFFFFF


def frame_header(size: int, kind: int, flags: int, stream_id: int) -> bytes:
    """Return the nine bytes before a payload of `size` bytes."""
    return _pack_header(size >> 8, size & 0xFF, kind, flags, stream_id)


def rst_stream(stream_id: int, code: int) -> bytes:
    return frame_header(4, RST_STREAM, 0, stream_id) + _pack_word(code)


def window_update(stream_id: int, size: int) -> bytes:
    return frame_header(4, WINDOW_UPDATE, 0, stream_id) + _pack_word(size)


def ping(payload: bytes, *, is_answer: bool) -> bytes:
    return frame_header(8, PING, ACK if is_answer else 0, 0) + payload


def goaway(last_stream_id: int, code: int, text: str) -> bytes:
    payload = _pack_word(last_stream_id) + _pack_word(code) + text.encode("ascii", "replace")
    return frame_header(len(payload), GOAWAY, 0, 0) + payload


def settings(values: Mapping[int, int]) -> bytes:
    payload = b"".join(_SETTING.pack(number, value) for number, value in values.items())
    return frame_header(len(payload), SETTINGS, 0, 0) + payload


SETTINGS_ACK = frame_header(0, SETTINGS, ACK, 0)


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """(number, value) in their order; `payload` is a multiple of six bytes."""
    return list(_SETTING.iter_unpack(payload))


def read_word(payload: bytes) -> int:
    """Four bytes, without the reserved bit."""
    return int.from_bytes(payload[:4], "big") & STREAM_MASK
