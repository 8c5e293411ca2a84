"""What is asked of a Seldon identity component, over REST and over gRPC, and how its answer is known to be right."""

from __future__ import annotations

import json
import struct
from functools import lru_cache

from benchmarks.deployment import Answer, Call, PeerRequest

COLUMNS = 64
PREDICT = "/seldon.protos.Seldon/Predict"
_JSON = "application/json"


def rows_of(count: int) -> list[list[float]]:
    """Return `count` rows of 64 numbers, each with a fraction."""
    return [[row + column / 64 + 0.25 for column in range(COLUMNS)] for row in range(count)]


def rest_request(path: str, row_count: int) -> PeerRequest:
    body = json.dumps({"data": {"ndarray": rows_of(row_count)}}).encode()
    return PeerRequest((path,), body, {"Content-Type": _JSON})


def is_identity(answer: Answer, row_count: int) -> bool:
    return bool(json.loads(answer.body)["data"]["ndarray"] == rows_of(row_count))


@lru_cache(maxsize=4)
def grpc_call(row_count: int) -> Call:
    """Return a SeldonMessage with the rows as `data.ndarray`; a right answer holds the very same list."""
    rows = b"".join(_member(1, _member(6, _numbers(row))) for row in rows_of(row_count))
    return Call(PREDICT, _member(3, _member(3, rows)), rows)


def _numbers(row: list[float]) -> bytes:
    """Return members of a google.protobuf.ListValue, each a Value with a number."""
    return b"".join(b"\x0a\x09\x11" + struct.pack("<d", number) for number in row)


def _member(field: int, content: bytes) -> bytes:
    """Return a length-delimited field of protobuf."""
    return bytes((field << 3 | 2,)) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
