"""Frames: how bytes on a worker's connection are cut into messages. Sans-IO.

Every frame starts with 16 bytes, big-endian: version (u8), kind (u8), attachments (u16), sequence (u32), length (u64).
`length` bytes of payload follow. A frame that announces `attachments` is followed by as many BODY frames, in order; the
decoder hands them on together. So a large body has a frame, and on the receiving side a buffer, to itself: it is read
from the socket straight to where it stays.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Sequence
from struct import Struct
from typing import Any, TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview
Frame: TypeAlias = "tuple[int, int, bytes | bytearray, Sequence[bytes | bytearray]]"
"""(kind, sequence, payload, attachments)"""

VERSION = 1

HELLO = 1
LOAD = 2
LOADED = 3
BATCH = 4
RESULT = 5
CANCEL = 7
HEARTBEAT = 8
METRIC = 10
DRAIN = 11
BYE = 12
BODY = 13
CALL = 15
CALLED = 16
READINESS = 17
RECORDS = 18
IMPORTED = 19
CHUNK = 20
CREDIT = 21
OUTPUT = 22
HOSTED = 23
USAGE = 24
EXITED = 25

KIND_NAMES = {
    HELLO: "hello",
    LOAD: "load",
    LOADED: "loaded",
    BATCH: "batch",
    RESULT: "result",
    CANCEL: "cancel",
    HEARTBEAT: "heartbeat",
    METRIC: "metric",
    DRAIN: "drain",
    BYE: "bye",
    BODY: "body",
    CALL: "call",
    CALLED: "called",
    READINESS: "readiness",
    RECORDS: "records",
    IMPORTED: "imported",
    CHUNK: "chunk",
    CREDIT: "credit",
    OUTPUT: "output",
    HOSTED: "hosted",
    USAGE: "usage",
    EXITED: "exited",
}

HEADER = Struct("!BBHIQ")
HEADER_BYTES = HEADER.size

#: Bodies of this size and more travel as attachments. Below it one join and one copy are cheaper than another buffer.
ATTACHMENT_BYTES = 64 * 1024

#: What one read can bring; a frame that does not fit gets a buffer of its own.
_READ_BYTES = ATTACHMENT_BYTES

_MAX_ATTACHMENTS = 0xFFFF

_NONE: tuple[bytes, ...] = ()


class ProtocolError(Exception):
    """The other side sent bytes that are no frame of this version. The connection cannot be used any further."""


def encode_frame(kind: int, sequence: int, payload: Buffer = b"") -> bytes:
    """One frame without attachments."""
    return b"".join((HEADER.pack(VERSION, kind, 0, sequence, len(payload)), payload))


def encode_attachments(sequence: int, attachments: Iterable[Buffer]) -> list[Buffer]:
    """The BODY frames behind the frame of this sequence."""
    buffers: list[Buffer] = []
    for body in attachments:
        buffers.append(HEADER.pack(VERSION, BODY, 0, sequence, len(body)))
        buffers.append(body)
    return buffers


def is_attachment(size_bytes: int, attached: int) -> bool:
    """Whether a body of this size travels as an attachment, given how many the frame already has."""
    return size_bytes >= ATTACHMENT_BYTES and attached < _MAX_ATTACHMENTS


def _untouched(size: int) -> mmap.mmap:
    """Memory that takes room only as far as it has been written to: most connections never carry a large frame."""
    return mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


class FrameDecoder:
    """Cuts a stream of bytes into frames.

    The reader asks for `get_buffer()`, reads from its socket into it, and reports with `received(size)`; the same two
    calls serve `asyncio.BufferedProtocol` and `socket.recv_into`.

    Payloads of frames that fit one read are `bytes`; larger ones are a `bytearray` that nothing else refers to.
    """

    __slots__ = (
        "_buffer",
        "_end",
        "_filled",
        "_large",
        "_make_room",
        "_pending",
        "_total",
        "_view",
        "_waiting",
        "max_length",
    )

    def __init__(self, max_length: int, make_room: Callable[[int], bytearray] = bytearray) -> None:
        """`max_length`: bytes; a frame that announces more, with its attachments, is a ProtocolError.

        It is raised before anything is allocated. `make_room`: returns so many bytes, whatever they are: all of them
        are written to.
        """
        self.max_length = max_length
        self._make_room = make_room
        self._buffer = _untouched(_READ_BYTES)
        self._view = memoryview(self._buffer)
        self._end = 0
        self._large: bytearray | None = None
        self._filled = 0
        self._pending: tuple[int, int, int] = (0, 0, 0)
        #: Bytes of the frame that waits for attachments and of those that have come.
        self._total = 0
        self._waiting: tuple[int, int, bytes | bytearray, list[Any], int] | None = None

    def __repr__(self) -> str:
        large = "" if self._large is None else f", large {self._filled}/{len(self._large)}"
        return f"<FrameDecoder buffered {self._end}{large}>"

    def get_buffer(self) -> memoryview:
        """Where the next bytes belong. Never empty."""
        if self._large is not None:
            return memoryview(self._large)[self._filled :]
        return self._view[self._end :]

    def received(self, size: int) -> list[Frame]:
        """Say that `size` bytes were put into the last buffer; returns the frames that are complete now.

        Raises:
            ProtocolError: wrong version, a frame over the limit, or attachments out of order.
        """
        frames: list[Frame] = []
        large = self._large
        if large is not None:
            self._filled += size
            if self._filled == len(large):
                self._large = None
                self._deliver(*self._pending, large, frames)
            return frames
        buffer = self._buffer
        view = self._view
        end = self._end + size
        start = 0
        data = b""
        unpack = HEADER.unpack_from
        while end - start >= HEADER_BYTES:
            version, kind, attachments, sequence, length = unpack(buffer, start)
            if version != VERSION:
                raise ProtocolError(f"frame version {version}, this side speaks {VERSION}")
            stop = start + HEADER_BYTES + length
            if stop <= end:
                if data:
                    payload = data[start + HEADER_BYTES : stop]
                elif stop == end:
                    payload = bytes(view[start + HEADER_BYTES : stop])
                else:
                    # Of many frames it is quicker to copy all and then cut bytes from bytes.
                    data = bytes(view[:end])
                    payload = data[start + HEADER_BYTES : stop]
                if attachments or kind == BODY or self._waiting is not None:
                    self._deliver(kind, attachments, sequence, payload, frames)
                else:
                    frames.append((kind, sequence, payload, _NONE))
                start = stop
                continue
            if length + self._total > self.max_length:
                raise ProtocolError(
                    f"{KIND_NAMES.get(kind, kind)} frame of {length + self._total} bytes, "
                    f"the limit is {self.max_length}"
                )
            if HEADER_BYTES + length > _READ_BYTES:
                filled = end - start - HEADER_BYTES
                large = self._make_room(length)
                large[:filled] = view[start + HEADER_BYTES : end]
                self._large = large
                self._filled = filled
                self._pending = (kind, attachments, sequence)
                start = end
            break
        rest = end - start
        if start and rest:
            buffer[:rest] = buffer[start:end]
        self._end = rest
        return frames

    def _deliver(
        self,
        kind: int,
        attachments: int,
        sequence: int,
        payload: bytes | bytearray,
        frames: list[Frame],
    ) -> None:
        waiting = self._waiting
        if waiting is None:
            if kind == BODY:
                raise ProtocolError("body frame without a frame that announces it")
            if attachments:
                self._total = len(payload)
                self._waiting = (kind, sequence, payload, [], attachments)
            else:
                frames.append((kind, sequence, payload, _NONE))
            return
        if kind != BODY or sequence != waiting[1]:
            raise ProtocolError(f"{KIND_NAMES.get(kind, kind)} frame where a body was announced")
        if len(payload) < ATTACHMENT_BYTES:
            # Thousands of them would fit one read.
            raise ProtocolError(f"an attached body of {len(payload)} bytes, which is too small")
        bodies = waiting[3]
        bodies.append(payload)
        self._total += len(payload)
        if self._total > self.max_length:
            raise ProtocolError(
                f"{KIND_NAMES.get(waiting[0], waiting[0])} frame whose attachments go beyond {self.max_length} bytes"
            )
        if len(bodies) == waiting[4]:
            self._waiting = None
            self._total = 0
            frames.append((waiting[0], waiting[1], waiting[2], bodies))
