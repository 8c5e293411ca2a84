"""CALL and CALLED frames: a worker asks the front for the answer of another model. Sans-IO.

Payload: size of the head (u32, big-endian), the head as a JSON message, the body as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct, error
from typing import TypeVar

from mms.wire.frames import CALL, CALLED, Buffer, ProtocolError, encode_frame
from mms.wire.messages import MAX_MESSAGE_BYTES, Message

_HEAD_SIZE = Struct("!I")
_Head = TypeVar("_Head", bound=Message)


@dataclass(slots=True)
class Call(Message):
    """What is asked for. `key`: one of the names that `Load.calls` gives models.

    `operation`, `method` and `path` are for models that have more than predict. `timeout_s` None is no limit of the
    caller's own.
    """

    key: str
    operation: str = ""
    method: str = "POST"
    path: str = ""
    content_type: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    request_id: str = ""
    timeout_s: float | None = None


@dataclass(slots=True)
class Called(Message):
    """The answer. `headers`: finished `name: value` lines. `error`: the front's name of what went wrong, else empty."""

    status: int
    headers: str = ""
    error: str = ""


def encode_call(sequence: int, call: Call, body: Buffer) -> bytes:
    """Raises ValueError where the head, which has the headers, is larger than the front takes."""
    text = call.to_payload()
    if len(text) > MAX_MESSAGE_BYTES:
        raise ValueError(f"its headers have {len(text)} bytes, the limit is {MAX_MESSAGE_BYTES}")
    return encode_frame(CALL, sequence, _join(text, body))


def encode_called(sequence: int, called: Called, body: Buffer) -> bytes:
    return encode_frame(CALLED, sequence, _join(called.to_payload(), body))


def decode_call(payload: Buffer) -> tuple[Call, bytes]:
    """Raises ProtocolError, also for a head of more than MAX_MESSAGE_BYTES."""
    return _split(Call, payload, MAX_MESSAGE_BYTES)


def decode_called(payload: Buffer) -> tuple[Called, bytes]:
    """Raises ProtocolError."""
    return _split(Called, payload)


def _join(head: bytes, body: Buffer) -> bytes:
    return b"".join((_HEAD_SIZE.pack(len(head)), head, body))


def _split(
    kind: type[_Head], payload: Buffer, max_head_bytes: int = 0xFFFFFFFF
) -> tuple[_Head, bytes]:
    try:
        (size,) = _HEAD_SIZE.unpack_from(payload)
    except error:
        raise ProtocolError("a call without a head") from None
    if size > max_head_bytes:
        raise ProtocolError(f"a call whose head has {size} bytes, the limit is {max_head_bytes}")
    end = _HEAD_SIZE.size + size
    if end > len(payload):
        raise ProtocolError("a call whose head is cut off")
    view = memoryview(payload)
    return kind.from_payload(bytes(view[_HEAD_SIZE.size : end])), bytes(view[end:])
