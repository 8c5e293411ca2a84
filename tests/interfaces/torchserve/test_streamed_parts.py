"""Parts of an answer that handlers send before its end, by the stand-in for TorchServe's package and by the package."""

from __future__ import annotations

import struct
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from mms.interfaces.torchserve.response_socket import ResponseSocket


def text(value: bytes) -> bytes:
    return struct.pack("!i", len(value)) + value


def message(*parts: tuple[bytes, bytes]) -> bytes:
    """As TorchServe's package writes it."""
    written = struct.pack("!i", 200) + text(b"Sent")
    for request_id, body in parts:
        written += text(request_id) + text(b"text/plain") + struct.pack("!i", 200) + text(b"")
        written += struct.pack("!i", 1) + text(b"ts_stream_next") + text(b"true") + text(body)
    return written + struct.pack("!i", -1)


def sent_by(written: bytes) -> list[tuple[bytes, int]]:
    sent: list[tuple[bytes, int]] = []
    context: Any = SimpleNamespace(
        request_ids={0: "a", 1: "b"},
        send_chunk=lambda chunk, place: sent.append((chunk, place)),
        _together=nullcontext,
    )
    ResponseSocket(context).sendall(written)
    return sent


def test_parts_that_torchserves_package_writes_go_to_their_requests() -> None:
    assert sent_by(message((b"b", b"two"), (b"a", b"\xff"))) == [(b"two", 1), (b"\xff", 0)]


@pytest.mark.parametrize(
    "written", [b"", message((b"c", b"x")), message((b"a", b"x"))[:-4], b"\x00\x00\x00\x01" * 9]
)
def test_what_is_no_message_is_refused(written: bytes) -> None:
    with pytest.raises(ValueError, match="no message with parts"):
        sent_by(written)
