"""CALL and CALLED frames: a worker asks the front for the answer of another model. Sans-IO.

Payload: size of the head (u32, big-endian), the head as a JSON message, the body as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct, error
from typing import TypeVar

from mms.wire.frames import CALL, CALLED, Buffer, ProtocolError, encode_frame
from mms.wire.messages import Message

_HEAD_SIZE = Struct("!I")
_Head = TypeVar("_Head", bound=Message)


@dataclass(slots=True)
class Call(Message):
    """What is asked for. `key`: one of the names that `Load.options["calls"]` gives models.

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
    return encode_frame(CALL, sequence, _join(call, body))


def encode_called(sequence: int, called: Called, body: Buffer) -> bytes:
    return encode_frame(CALLED, sequence, _join(called, body))


def decode_call(payload: Buffer) -> tuple[Call, bytes]:
    """Raises ProtocolError."""
    return _split(Call, payload)


def decode_called(payload: Buffer) -> tuple[Called, bytes]:
    """Raises ProtocolError."""
    return _split(Called, payload)


def _join(head: Message, body: Buffer) -> bytes:
    text = head.to_payload()
    return b"".join((_HEAD_SIZE.pack(len(text)), text, body))


def _split(kind: type[_Head], payload: Buffer) -> tuple[_Head, bytes]:
    try:
        (size,) = _HEAD_SIZE.unpack_from(payload)
    except error:
        raise ProtocolError("a call without a head") from None
    end = _HEAD_SIZE.size + size
    if end > len(payload):
        raise ProtocolError("a call whose head is cut off")
    view = memoryview(payload)
    return kind.from_payload(bytes(view[_HEAD_SIZE.size : end])), bytes(view[end:])
