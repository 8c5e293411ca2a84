"""CHUNK and CREDIT frames: what one side writes the other reads, and nothing else."""

from __future__ import annotations

import pytest

from mms.wire import CHUNK, CREDIT, FAILED, FrameDecoder, ProtocolError
from mms.wire.frames import ATTACHMENT_BYTES, Frame
from mms.wire.streams import (
    BEGUN,
    END,
    MAX_CHUNKS,
    decode_chunks,
    decode_credit,
    decode_number,
    encode_chunks,
    encode_credit,
    encode_number,
)


def _frames(data: bytes) -> list[Frame]:
    decoder = FrameDecoder(1 << 30)
    frames: list[Frame] = []
    while data:
        buffer = decoder.get_buffer()
        size = min(len(buffer), len(data))
        buffer[:size] = data[:size]
        frames += decoder.received(size)
        data = data[size:]
    return frames


def test_chunks_of_many_streams_travel_in_one_frame_in_order() -> None:
    items = [
        (1, BEGUN, 200, b"Good", b"a: b\r\n", b"first"),
        (2, BEGUN | END, 201, b"", b"", b""),
        (1, 0, 0, b"", b"", bytes(ATTACHMENT_BYTES)),
        (1, END, 0, b"", b"", b""),
        (3, FAILED, 503, b"", b"", b"why"),
    ]
    ((kind, _, payload, attachments),) = _frames(b"".join(encode_chunks(items)))
    assert kind == CHUNK
    found = decode_chunks(payload, attachments)
    assert [(number, bytes(body)) for number, *_, body in found] == [
        (number, body) for number, *_, body in items
    ]
    assert [item[1] & (BEGUN | END | FAILED) for item in found] == [item[1] for item in items]
    assert found[0][2:5] == (200, b"Good", b"a: b\r\n")


def test_a_frame_of_too_many_chunks_is_refused() -> None:
    items = [(1, 0, 0, b"", b"", b"")] * (MAX_CHUNKS + 1)
    ((_, _, payload, attachments),) = _frames(b"".join(encode_chunks(items)))
    with pytest.raises(ProtocolError):
        decode_chunks(payload, attachments)


def test_credit_is_read_as_it_was_written_and_not_where_it_is_cut_off() -> None:
    grants = [(1, 70_000), (4_000_000_000, 0)]
    ((kind, _, payload, _),) = _frames(encode_credit(grants))
    assert (kind, list(decode_credit(payload))) == (CREDIT, grants)
    with pytest.raises(ProtocolError):
        list(decode_credit(payload[:-1]))


def test_a_stream_has_a_number_of_four_bytes() -> None:
    assert decode_number(encode_number(7)) == 7
    with pytest.raises(ProtocolError):
        decode_number(b"7")
