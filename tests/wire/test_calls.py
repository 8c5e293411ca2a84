"""The frames of calls between models."""

from __future__ import annotations

import pytest

from mms.wire import FrameDecoder, ProtocolError
from mms.wire.calls import (
    Call,
    Called,
    decode_call,
    decode_called,
    encode_call,
    encode_called,
)


def payload_of(frame: bytes) -> bytes:
    decoder = FrameDecoder(1 << 20)
    decoder.get_buffer()[: len(frame)] = frame
    ((_, sequence, payload, _),) = decoder.received(len(frame))
    assert sequence == 7
    return bytes(payload)


def test_a_call_comes_out_as_it_went_in() -> None:
    call = Call("m3:v1", "infer", "PUT", "/a", "text/x", [("a", "b")], "id", 1.5)
    decoded, body = decode_call(payload_of(encode_call(7, call, b"\x00body")))
    assert (decoded.key, decoded.operation, decoded.method, decoded.timeout_s) == (
        "m3:v1",
        "infer",
        "PUT",
        1.5,
    )
    assert [tuple(pair) for pair in decoded.headers] == [("a", "b")]
    assert body == b"\x00body"


def test_an_answer_comes_out_as_it_went_in() -> None:
    called = Called(418, "A: b\r\n", "Teapot")
    assert decode_called(payload_of(encode_called(7, called, b""))) == (called, b"")


@pytest.mark.parametrize(
    "payload", [b"", b"\x00\x00", b"\x00\x00\x00\x09{}", b"\x00\x00\x00\x02[]"]
)
def test_what_is_no_call_is_a_protocol_error(payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_call(payload)
