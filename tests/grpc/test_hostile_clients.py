"""What clients of ill will can have the server keep or do: little, whatever they send and however slowly they read."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hpack import Encoder
from test_any_bytes import Owner, block_of

from mms.core.request import Buffer
from mms.grpc import frames, rules
from mms.grpc.call import Call, Method
from mms.grpc.connection import GrpcConnection
from mms.grpc.frames import frame_header
from mms.grpc.head import HeadReader
from mms.grpc.inflow import MAX_STREAMS
from mms.grpc.turns import FRAMES_IN_A_TURN, FrameTurns

_MEBIBYTE = 1 << 20


class SlowTransport:
    """Keeps what is written, of which the client has taken `taken`; counts the writes."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.taken = 0
        self.writes = 0
        self.is_closed = False
        self.is_reading = True

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def get_extra_info(self, name: str) -> Any:
        return None

    def get_write_buffer_size(self) -> int:
        return len(self.written) - self.taken

    def write(self, data: bytes) -> None:
        self.written += data
        self.writes += 1

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True


class PatientOwner(Owner):
    """Echoes large messages; `/stream` takes a stream of them and answers none."""

    max_message_bytes = 8 * _MEBIBYTE

    def __init__(self) -> None:
        super().__init__()
        self.has_ended = asyncio.Event()

    def record(self, call: Call, http_status: int, problem: str) -> None:
        super().record(call, http_status, problem)
        self.has_ended.set()

    def find(self, path: bytes) -> Method | None:
        if path == b"/stream":
            return Method(path, open=lambda call: _Silence())
        return super().find(path)


class _Silence:
    def message(self, body: Buffer) -> None:
        return

    def half_closed(self) -> None:
        return


class Attack:
    """A connection without sockets, whose client has just begun."""

    def __init__(self) -> None:
        self.owner, self.transport = PatientOwner(), SlowTransport()
        self.connection = GrpcConnection(self.owner)
        self.connection.connection_made(self.transport)  # type: ignore[arg-type]  # what is used of one
        self.send(frames.PREFACE)

    def send(self, *parts: bytes) -> None:
        if not self.transport.is_closed:
            self.connection.data_received(b"".join(parts))

    async def flood(self, *parts: bytes) -> None:
        """Send more frames than are read in one turn of the loop."""
        self.owner.turns = FrameTurns()
        self.send(*parts)
        while not self.transport.is_reading and not self.is_over:
            await asyncio.sleep(0)

    @property
    def is_over(self) -> bool:
        return self.transport.is_closed

    def goaway(self) -> int | None:
        """The code that the server ended the connection with."""
        written, at, code = self.transport.written, 0, None
        while at < len(written):
            high, low, kind, _, _ = frames.read_header(written, at)
            if kind == frames.GOAWAY:
                code = int.from_bytes(written[at + 13 : at + 17], "big")
            at += frames.HEADER_BYTES + (high << 8 | low)
        return code


@pytest.fixture
def attack() -> Attack:
    return Attack()


def headers(stream_id: int, block: bytes, flags: int = 0) -> bytes:
    flags |= frames.END_HEADERS
    return frame_header(len(block), frames.HEADERS, flags, stream_id) + block


def data(stream_id: int, payload: bytes, flags: int = 0) -> bytes:
    return frame_header(len(payload), frames.DATA, flags, stream_id) + payload


def call(stream_id: int, body: bytes, path: str = "/echo") -> bytes:
    message = b"\0" + len(body).to_bytes(4, "big") + body
    pieces = [message[at : at + 16_000] for at in range(0, len(message), 16_000)]
    parts = [data(stream_id, piece) for piece in pieces[:-1]]
    return b"".join(
        (headers(stream_id, block_of(path)), *parts, data(stream_id, pieces[-1], frames.END_STREAM))
    )


async def test_pings_whose_answers_nobody_reads_end_the_connection(
    attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "MAX_CONTROL_FRAMES", 10**9)
    attack.connection.pause_writing()
    flood = frames.ping(b"12345678", is_answer=False) * 10_000
    for _ in range(50):
        await attack.flood(flood)
    assert attack.is_over
    assert len(attack.transport.written) < _MEBIBYTE
    assert attack.goaway() == frames.ENHANCE_YOUR_CALM


def test_requests_that_are_no_calls_count_among_what_floods_a_connection(attack: Attack) -> None:
    block = Encoder().encode([(":method", "GET"), (":path", "/"), (":scheme", "http")])
    for stream_id in range(1, 20_001, 2):
        attack.send(headers(stream_id, block, frames.END_STREAM))
    assert attack.goaway() == frames.ENHANCE_YOUR_CALM


async def test_empty_data_for_calls_that_have_ended_floods_a_connection(attack: Attack) -> None:
    attack.send(call(1, b"abc"))
    await attack.flood(data(1, b"") * 10_000)
    assert attack.goaway() == frames.ENHANCE_YOUR_CALM


def test_each_of_many_settings_in_a_frame_counts(attack: Attack) -> None:
    setting = frames.INITIAL_WINDOW_SIZE.to_bytes(2, "big") + (10).to_bytes(4, "big")
    payload = setting * 2_500
    frame = frame_header(len(payload), frames.SETTINGS, 0, 0) + payload
    attack.send(frame)
    assert not attack.is_over
    attack.send(frame * 2)
    assert attack.goaway() == frames.ENHANCE_YOUR_CALM


def test_a_window_that_opens_byte_by_byte_is_used_once_for_all_that_came(attack: Attack) -> None:
    """Else each of these few bytes has the server walk through all answers, and send frames of one byte."""
    attack.send(frames.settings({frames.INITIAL_WINDOW_SIZE: 0}))
    attack.send(*(call(2 * n + 1, b"x" * 100) for n in range(MAX_STREAMS)))
    before = attack.transport.writes
    attack.send(frames.window_update(1, 1) * 50 + frames.window_update(3, 1) * 50)
    assert attack.transport.writes == before + 1
    assert attack.transport.written.endswith(data(3, b"\0\0\0\0\x64" + b"x" * 45))


@pytest.mark.parametrize("frame", [frames.window_update(0, 1), data(1, b"x")])
async def test_a_flood_of_frames_of_a_few_bytes_ends_the_connection(
    attack: Attack, frame: bytes
) -> None:
    attack.send(headers(1, block_of("/echo")), data(1, b"\0\0\x10\0\0xxxxxxxxxxxxxx"))
    await attack.flood(frame * 50_000)
    assert not attack.is_over
    attack.connection.check_time(time.monotonic())
    await attack.flood(frame * 50_000)
    assert not attack.is_over
    attack.send(frame)
    assert attack.goaway() == frames.ENHANCE_YOUR_CALM


@pytest.mark.parametrize(
    ("bytes_a_second", "survives"), [(0, False), (1, False), (12_000, False), (20_000, True)]
)
def test_answers_have_to_be_taken_at_a_rate_though_their_client_talks(
    attack: Attack, bytes_a_second: int, survives: bool
) -> None:
    attack.send(frames.settings({frames.INITIAL_WINDOW_SIZE: 10}))
    # Before the answer waits: how long that takes is no time of the client's.
    start = time.monotonic()
    attack.send(call(1, b"x" * 8_000_000))
    for second in range(0, 390, 3):
        attack.send(frames.ping(b"12345678", is_answer=False))
        if bytes_a_second:
            attack.send(
                frames.window_update(0, 3 * bytes_a_second),
                frames.window_update(1, 3 * bytes_a_second),
            )
        attack.transport.taken = len(attack.transport.written)
        attack.connection.check_time(start + second)
        assert second > 75 or not attack.is_over
    assert attack.is_over != survives


def test_a_connection_that_reads_nothing_at_all_ends_though_its_client_talks(
    attack: Attack,
) -> None:
    attack.send(call(1, b"x" * 50_000))
    attack.transport.taken = len(attack.transport.written) - 1
    attack.connection.pause_writing()
    start = time.monotonic()
    attack.connection.check_time(start)
    attack.send(frames.window_update(0, 1))
    attack.connection.check_time(start + 74)
    assert not attack.is_over
    attack.connection.check_time(start + 76)
    assert attack.is_over


def test_a_message_that_does_not_come_ends_its_call(attack: Attack) -> None:
    attack.send(headers(1, block_of("/echo")), headers(3, block_of("/echo")))
    attack.send(data(3, b"\0\0\x10\0\0" + b"x" * 10))
    start = time.monotonic()
    attack.connection.check_time(start)
    attack.connection.check_time(start + 59)
    assert attack.owner.ended == []
    attack.connection.check_time(start + 62)
    assert attack.owner.ended == [408, 408]
    assert not attack.is_over


def test_a_large_message_may_take_a_second_for_each_16_kib_and_no_time_is_saved_up(
    attack: Attack,
) -> None:
    attack.send(headers(1, block_of("/echo")))
    start = time.monotonic()
    attack.send(data(1, b"\0\0\x40\0\0"))
    for second in range(100):
        attack.connection.check_time(start + second)
        attack.send(data(1, b"x" * 16_300))
    assert attack.owner.ended == []
    attack.send(data(1, b"x" * 16_000) * 40)
    attack.connection.check_time(start + 100)
    attack.connection.check_time(start + 159)
    assert attack.owner.ended == []
    attack.connection.check_time(start + 162)
    assert attack.owner.ended == [408]


def test_a_stream_may_be_silent_between_its_messages_and_not_within_one(attack: Attack) -> None:
    attack.send(headers(1, block_of("/stream")))
    start = time.monotonic()
    attack.connection.check_time(start + 70)
    attack.send(data(1, b"\0\0\0\0\x03abc"))
    attack.connection.check_time(start + 140)
    assert attack.owner.ended == []
    attack.send(data(1, b"\0\0\0\0\x03a"))
    start = time.monotonic()
    attack.connection.check_time(start)
    attack.connection.check_time(start + 59)
    assert attack.owner.ended == []
    attack.connection.check_time(start + 62)
    assert attack.owner.ended == [408]


def test_heads_that_are_remembered_are_few_where_they_are_large() -> None:
    reader, encoder = HeadReader(), Encoder()
    large = ("x-large", "x" * 3000)
    headers_of_all = [(":method", "POST"), (":path", "/echo"), ("content-type", "application/grpc")]
    reader.read(encoder.encode([*headers_of_all, large]))
    tracemalloc.start()
    try:
        for n in range(250):
            # The second time the table knows the large one: a few bytes stand for it.
            never_indexed = b"\x10\x03x-n\x04%04d" % n
            reader.read(
                encoder.encode([*headers_of_all, large, large, large, large]) + never_indexed
            )
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < _MEBIBYTE


@pytest.mark.parametrize("kind", [b"gzip", b"deflate"])
def test_a_compressed_message_that_breaks_off_is_refused(attack: Attack, kind: bytes) -> None:
    packer = zlib.compressobj(wbits=31 if kind == b"gzip" else 15)
    packed = (packer.compress(b"x" * 1000) + packer.flush())[:-5]
    block = Encoder().encode(
        [
            (":method", "POST"),
            (":path", "/echo"),
            ("content-type", "application/grpc"),
            ("grpc-encoding", kind.decode()),
        ]
    )
    message = b"\1" + len(packed).to_bytes(4, "big") + packed
    attack.send(headers(1, block), data(1, message, frames.END_STREAM))
    assert attack.owner.ended == [400]
    assert b"A compressed message breaks off." in attack.transport.written


async def test_a_bomb_costs_no_more_than_the_limit(attack: Attack) -> None:
    packer = zlib.compressobj(9, wbits=31)
    packed = b"".join(packer.compress(bytes(_MEBIBYTE)) for _ in range(256)) + packer.flush()
    block = Encoder().encode(
        [
            (":method", "POST"),
            (":path", "/echo"),
            ("content-type", "application/grpc"),
            ("grpc-encoding", "gzip"),
        ]
    )
    message = b"\1" + len(packed).to_bytes(4, "big") + packed
    pieces = [message[at : at + 16_000] for at in range(0, len(message), 16_000)]
    tracemalloc.start()
    try:
        attack.send(headers(1, block), *(data(1, piece) for piece in pieces))
        attack.send(data(1, b"", frames.END_STREAM))
        await attack.owner.has_ended.wait()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert attack.owner.ended == [413]
    assert peak < 4 * attack.owner.max_message_bytes


def test_a_call_that_is_taken_back_is_cancelled_and_leaves_nothing(attack: Attack) -> None:
    """Rapid reset: the limit of calls under way does not help against it."""
    attack.owner.echo = lambda call, body: None  # type: ignore[method-assign]  # under way for ever
    reset = frames.rst_stream
    n = 0
    while not attack.is_over and n < 20_000:
        attack.send(call(2 * n + 1, b"abc"), reset(2 * n + 1, frames.CANCEL))
        n += 1
    assert attack.goaway() == frames.ENHANCE_YOUR_CALM
    assert n <= 5001
    assert attack.owner.ended == [499] * n
    assert repr(attack.connection).endswith(", 0 calls>")


@pytest.mark.parametrize(
    "provocation",
    [
        lambda stream_id: frames.window_update(stream_id, 2**31 - 1),
        lambda stream_id: data(stream_id, b"x"),
        lambda stream_id: headers(stream_id, block_of("/echo")),
    ],
    ids=["a window larger than its limit", "data behind the end", "a second head"],
)
def test_calls_that_the_server_is_made_to_reset_count_as_those_that_the_client_resets(
    attack: Attack, provocation: Callable[[int], bytes]
) -> None:
    """MadeYouReset: the server's own resets take a call from its limit, while its work goes on."""
    attack.owner.echo = lambda call, body: None  # type: ignore[method-assign]  # under way for ever
    n = 0
    while not attack.is_over and n < 20_000:
        attack.send(call(2 * n + 1, b"abc"), provocation(2 * n + 1))
        n += 1
    assert attack.goaway() == frames.ENHANCE_YOUR_CALM
    assert n <= 5001
    assert attack.owner.ended == [499] * n


async def test_one_read_of_many_frames_takes_several_turns_of_the_loop(attack: Attack) -> None:
    """Others are served in between; nothing is lost, and no more is read until then."""
    attack.owner.echo = lambda call, body: None  # type: ignore[method-assign]  # under way for ever
    attack.owner.turns = FrameTurns()
    count = 2000
    attack.send(*(call(2 * n + 1, b"abc") + frames.rst_stream(2 * n + 1, 8) for n in range(count)))
    turns = 1
    while not attack.transport.is_reading:
        ended = len(attack.owner.ended)
        await asyncio.sleep(0)
        assert len(attack.owner.ended) - ended < 300
        turns += 1
    assert turns >= 10
    assert attack.owner.ended == [499] * count


async def test_the_frames_of_a_turn_are_shared_by_all_connections() -> None:
    """However many flood, others wait for one turn's worth, and whoever comes with little is soon served."""
    turns = FrameTurns()
    attacks = [Attack() for _ in range(20)]
    for attack in attacks:
        attack.owner.turns = turns
        attack.send(*(call(2 * n + 1, b"abc") for n in range(300)))
    late = Attack()
    late.owner.turns = turns
    late.send(call(1, b"abc"))
    loops = 0
    while not late.owner.ended:
        ended = sum(len(attack.owner.ended) for attack in attacks)
        await asyncio.sleep(0)
        assert sum(len(attack.owner.ended) for attack in attacks) - ended <= FRAMES_IN_A_TURN // 2
        loops += 1
    assert loops < 5
    assert sum(len(attack.owner.ended) for attack in attacks) < 20 * 300 / 4
    while not all(attack.transport.is_reading for attack in attacks):
        await asyncio.sleep(0)
    assert [len(attack.owner.ended) for attack in attacks] == [300] * 20


def test_a_header_that_stands_for_thousands_ends_the_connection(attack: Attack) -> None:
    """A block of 16 KiB whose every byte names an entry of 4 KiB of the table."""
    entry = b"\x40\x01a" + b"\x7f" + bytes([(3900 - 127) & 127 | 128, (3900 - 127) >> 7])
    attack.send(headers(1, block_of("/echo") + entry + b"y" * 3900))
    tracemalloc.start()
    try:
        attack.send(headers(3, b"\xbe" * 16_000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert attack.goaway() == frames.COMPRESSION_ERROR
    assert peak < _MEBIBYTE
