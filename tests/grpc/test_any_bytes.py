"""Whatever bytes come, and in whatever pieces, a connection lives on or ends by the rules."""

from __future__ import annotations

import re
from typing import Any

from hpack import Encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from mms.core.request import Buffer
from mms.grpc import frames
from mms.grpc.call import Call, Method
from mms.grpc.connection import GrpcConnection
from mms.grpc.frames import frame_header
from mms.grpc.head import CallHead
from mms.grpc.turns import FrameTurns
from mms.limits.inflating import Inflater
from mms.limits.memory import MemoryLimit


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.is_closed = False

    def get_extra_info(self, name: str) -> Any:
        return None

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: bytes) -> None:
        assert not self.is_closed, "written after the end"
        self.written += data

    def close(self) -> None:
        self.is_closed = True


class OneTurn(FrameTurns):
    """No event loop has to run: all is read in one turn."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 10**9

    def spend(self, frames: int) -> None:
        return


class Owner:
    """Echoes; counts the calls that have ended."""

    max_message_bytes = 100
    keep_alive_timeout_s = 75.0
    head_timeout_s = 30.0
    body_timeout_s = 60.0
    has_access = False
    trusts_request_ids = False

    def __init__(self) -> None:
        self.memory = MemoryLimit(32 << 20, 512 << 20, 6_553_500)
        self.turns: FrameTurns = OneTurn()
        self.inflater = Inflater(0)
        self.connections: set[GrpcConnection] = set()
        self.ended: list[int] = []

    def find(self, path: bytes) -> Method | None:
        return Method(path, begin=self.echo) if path == b"/echo" else None

    def enter(self, head: CallHead, remote: str) -> CallHead:
        return head

    def echo(self, call: Call, body: Buffer) -> None:
        call.reply(body)

    def dispatch_due(self) -> None:
        return

    def record(self, call: Call, http_status: int, problem: str) -> None:
        self.ended.append(http_status)

    def forget(self, connection: GrpcConnection) -> None:
        self.connections.discard(connection)


def block_of(path: str) -> bytes:
    headers = [(":method", "POST"), (":path", path), ("content-type", "application/grpc")]
    # A new encoder each time: what it writes is read the same at any place of the stream's beginning.
    return Encoder().encode(headers)


HEADERS = st.sampled_from([block_of("/echo"), block_of("/none"), b"\x88", b"", b"\xff"])
FRAME = st.builds(
    lambda kind, flags, stream_id, payload: (
        frame_header(len(payload), kind, flags, stream_id) + payload
    ),
    st.integers(0, 10),
    st.sampled_from([0, 1, 4, 5, 8, 9, 0x20, 0x2D, 0xFF]),
    st.integers(0, 7),
    st.one_of(st.binary(max_size=30), HEADERS),
)
CALL = st.builds(
    lambda stream_id, block, body, end: (
        frame_header(len(block), frames.HEADERS, frames.END_HEADERS, stream_id)
        + block
        + frame_header(len(body), frames.DATA, end, stream_id)
        + body
    ),
    st.sampled_from([1, 3, 5, 7]),
    HEADERS,
    st.sampled_from([b"\0\0\0\0\x03abc", b"\0\0\0\0\x03ab", b"\0\0\0\1\0", b"\1\0\0\0\1a", b""]),
    st.integers(0, 1),
)
SETTINGS = st.builds(
    lambda window: frames.settings({frames.INITIAL_WINDOW_SIZE: window}), st.integers(0, 20)
)
STREAM = st.lists(st.one_of(FRAME, CALL, SETTINGS), max_size=12).map(b"".join)
#: Ids of requests are new each time.
ID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def outcome_of(pieces: list[bytes]) -> tuple[bytes, bool, list[int]]:
    """(what was written, whether the connection was closed, the statuses of the calls)."""
    owner, transport = Owner(), Transport()
    connection = GrpcConnection(owner)
    connection.connection_made(transport)  # type: ignore[arg-type]  # what is used of one
    for piece in pieces:
        if piece and not transport.is_closed:
            connection.data_received(piece)
    connection.connection_lost(None)
    assert not owner.connections
    return ID.sub(b"-", bytes(transport.written)), transport.is_closed, owner.ended


@settings(max_examples=400, deadline=None)
@given(STREAM, st.lists(st.integers(1, 60), max_size=40))
def test_frames_mean_the_same_in_whatever_pieces_they_come(stream: bytes, sizes: list[int]) -> None:
    everything = frames.PREFACE + stream
    pieces, at = [], 0
    for size in sizes:
        pieces.append(everything[at : at + size])
        at += size
    pieces.append(everything[at:])
    assert outcome_of(pieces) == outcome_of([everything])


def test_an_answer_that_has_room_goes_out_before_what_ends_its_connection() -> None:
    narrow, wide = (frames.settings({frames.INITIAL_WINDOW_SIZE: size}) for size in (0, 20))
    block, body = block_of("/echo"), b"\0\0\0\0\x03abc"
    call = (
        *(frame_header(len(block), frames.HEADERS, frames.END_HEADERS, 1), block),
        *(frame_header(len(body), frames.DATA, frames.END_STREAM, 1), body),
    )
    wrong = frame_header(0, frames.DATA, 0, 0)
    written, is_closed, _ = outcome_of([frames.PREFACE + narrow + b"".join(call) + wide + wrong])
    assert is_closed and body in written


def test_nothing_of_an_answer_is_written_while_the_client_reads_too_slowly() -> None:
    owner, transport = Owner(), Transport()
    connection = GrpcConnection(owner)
    connection.connection_made(transport)  # type: ignore[arg-type]  # what is used of one
    connection.data_received(frames.PREFACE)
    connection.pause_writing()
    before = len(transport.written)
    block, body = block_of("/echo"), b"\0\0\0\0\x03abc"
    flags = frames.END_HEADERS
    connection.data_received(frame_header(len(block), frames.HEADERS, flags, 1) + block)
    end = frames.END_STREAM
    connection.data_received(frame_header(len(body), frames.DATA, end, 1) + body)
    connection.data_received(frames.window_update(0, 1))
    assert (owner.ended, len(transport.written)) == ([200], before)
    connection.resume_writing()
    assert body in transport.written[before:]
    connection.connection_lost(None)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_raise_anything(data: bytes, has_preface: bool) -> None:
    outcome_of([frames.PREFACE + data if has_preface else data])
