"""Answers that are streams: CHUNK frames of a worker, and CREDIT frames that answer them. Sans-IO.

An item of a RESULT frame with STREAM set begins a stream; its body is the stream's number, 4 bytes. The chunks follow
in CHUNK frames, laid out as RESULT frames are, whose items have the stream's number where others have their place in
the batch. One frame may have chunks of many streams, in order. The first item of a stream has BEGUN set: status, phrase
and headers are those of the answer. Each stream has exactly one item with END or FAILED set, its last one; a FAILED one
says why as a RESULT's does. One with END may have BEGUN set, too, and a body.

A stream has WINDOW_BYTES of credit when it begins. A chunk uses `cost_of` it, and may be sent while there is any: it
may use more than is left. A CREDIT frame has per stream its number (u32, big-endian) and how much more credit it has
(u32); 0: nobody waits for it any more, so that it is to end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from struct import Struct
from struct import error as StructError

from mms.wire.batches import ResultItem, decode_result, encode_items
from mms.wire.frames import CHUNK, CREDIT, Buffer, ProtocolError, encode_frame

#: Of an item of a CHUNK frame: the first one of its stream, with the head of the answer.
BEGUN = 8
#: The last one of its stream.
END = 16

#: What a stream may send beyond what its client has taken, in bytes.
WINDOW_BYTES = 64 * 1024
#: What a chunk costs besides its bytes: small ones take memory and time, too.
_CHUNK_COST = 64
#: Items of one CHUNK frame.
MAX_CHUNKS = 4096

_NUMBER = Struct("!I")
_CREDIT = Struct("!II")


def cost_of(body: Buffer) -> int:
    """Return the credit that a chunk uses."""
    return len(body) + _CHUNK_COST


def encode_number(number: int) -> bytes:
    """Return the body of the item that begins a stream."""
    return _NUMBER.pack(number)


def decode_number(body: Buffer) -> int:
    """Raises ProtocolError."""
    try:
        return int(_NUMBER.unpack(body)[0])
    except StructError:
        raise ProtocolError("a stream without a number") from None


def encode_chunks(items: Sequence[ResultItem]) -> list[Buffer]:
    """Return a CHUNK frame as buffers for one write; up to MAX_CHUNKS items."""
    return encode_items(CHUNK, 0, 0, 0, items, len(items))


def decode_chunks(
    payload: bytes | bytearray, attachments: Sequence[bytes | bytearray]
) -> list[ResultItem]:
    """Return the items of a CHUNK frame. Raises ProtocolError."""
    return decode_result(payload, attachments, MAX_CHUNKS)[2]


def encode_credit(grants: Iterable[tuple[int, int]]) -> bytes:
    """Return a CREDIT frame of (stream's number, more credit); 0: it is to end."""
    return encode_frame(CREDIT, 0, b"".join([_CREDIT.pack(*grant) for grant in grants]))


def decode_credit(payload: Buffer) -> Iterator[tuple[int, int]]:
    """Raises ProtocolError."""
    if len(payload) % _CREDIT.size:
        raise ProtocolError("a credit frame that is cut off")
    yield from _CREDIT.iter_unpack(payload)
