"""RECORDS frames: what a worker tells of its requests, for the streams of its model. Sans-IO.

The sequence number says which stream: TRACKING or ERRORS. Payload: JSON texts with a line feed between them.
"""

from __future__ import annotations

from collections.abc import Iterable

from mms.wire.frames import RECORDS, ProtocolError, encode_frame

TRACKING = 0
ERRORS = 1

#: A front believes frames of 1 MiB and more, whatever a model's limits are.
MAX_RECORD_BYTES = 512 * 1024
_MAX_FRAME_BYTES = 1024 * 1024 - 64
#: The front takes a frame in one go.
_MAX_FRAME_RECORDS = 1000


def encode_records(stream: int, records: Iterable[bytes]) -> list[bytes]:
    """The frames of records of up to MAX_RECORD_BYTES each, without line feeds."""
    frames: list[bytes] = []
    held: list[bytes] = []
    size = 0
    for record in records:
        is_full = size + len(record) + 1 > _MAX_FRAME_BYTES or len(held) == _MAX_FRAME_RECORDS
        if held and is_full:
            frames.append(encode_frame(RECORDS, stream, b"\n".join(held)))
            held, size = [], 0
        held.append(record)
        size += len(record) + 1
    if held:
        frames.append(encode_frame(RECORDS, stream, b"\n".join(held)))
    return frames


def decode_records(stream: int, payload: bytes | bytearray) -> list[bytes]:
    """The records of a frame. Raises ProtocolError for a stream that is none, and for more than belong in a frame."""
    if stream not in (TRACKING, ERRORS):
        raise ProtocolError(f"records for the unknown stream {stream}")
    if len(payload) > _MAX_FRAME_BYTES or payload.count(b"\n") >= _MAX_FRAME_RECORDS:
        raise ProtocolError("a frame of too many records")
    return bytes(payload).split(b"\n")
