"""What the host of a worker on another node says to the front, beside the worker's own connections. Sans-IO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mms.wire.frames import OUTPUT, ProtocolError, encode_frame
from mms.wire.messages import Message

#: By their number, which a frame has for its sequence.
STREAMS: Final = ("stdout", "stderr")
#: Lines of a frame, and bytes of one.
MOST_LINES: Final = 128
MOST_LINE_BYTES: Final = 32 * 1024
_MOST_BYTES: Final = 48 * 1024


@dataclass(slots=True)
class Hosted(Message):
    """Where a worker runs. `folders`: path on the front's machine -> path there. `gpu_id`: as its process counts."""

    node: str
    folders: dict[str, Any] = field(default_factory=dict)
    gpu_id: int | None = None


@dataclass(slots=True)
class Usage(Message):
    """What a worker's process has used so far, as its node's kernel says."""

    cpu_s: float
    major_faults: int
    is_at_work: bool
    memory_bytes: int


@dataclass(slots=True)
class Exited(Message):
    """How a worker's process has ended, or why there is none, in words."""

    reason: str


def encode_output(stream: str, lines: Sequence[str]) -> list[bytes]:
    """OUTPUT frames, as many as it takes."""
    frames: list[bytes] = []
    part: list[bytes] = []
    size = 0
    for line in lines:
        content = line.encode("utf-8", "replace").replace(b"\n", b" ")[:MOST_LINE_BYTES]
        if part and (len(part) >= MOST_LINES or size + len(content) > _MOST_BYTES):
            frames.append(_output_frame(stream, part))
            part, size = [], 0
        part.append(content)
        size += len(content) + 1
    if part:
        frames.append(_output_frame(stream, part))
    return frames


def _output_frame(stream: str, lines: Sequence[bytes]) -> bytes:
    return encode_frame(OUTPUT, STREAMS.index(stream), b"\n".join(lines))


def decode_output(sequence: int, payload: bytes | bytearray) -> tuple[str, list[str]]:
    """Return the stream and the lines of an OUTPUT frame. Raises ProtocolError."""
    if sequence >= len(STREAMS):
        raise ProtocolError(f"output of stream {sequence}, there are {len(STREAMS)}")
    if len(payload) > _MOST_BYTES + MOST_LINE_BYTES or payload.count(b"\n") >= MOST_LINES:
        raise ProtocolError(f"an output frame of {len(payload)} bytes, or of too many lines")
    return STREAMS[sequence], bytes(payload).decode("utf-8", "replace").split("\n")
