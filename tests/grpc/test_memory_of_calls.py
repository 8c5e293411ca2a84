"""What the calls of one connection may hold in memory, whatever its client sends and does not read."""

from __future__ import annotations

import asyncio
import gc
import gzip
import struct
import time
import tracemalloc

import pytest
from front_serving import WAIT_S, Client, Served, serve
from test_http2_connections import PREDICT, RawClient, connected, message

from mms.core import Request
from mms.errors import ServiceUnavailable
from mms.grpc import frames
from mms.grpc.inflow import MAX_STREAMS

MEBIBYTE = 1 << 20


def compressed(body: bytes) -> bytes:
    packed = gzip.compress(body)
    return struct.pack(">BI", 1, len(packed)) + packed


class Flow:
    """A client that sends as much of its messages as the server's windows let it."""

    def __init__(self, raw: RawClient, window: int, *, ends: bool = True) -> None:
        self.raw = raw
        self.ends = ends
        self.left: dict[int, bytes] = {}
        self.windows: dict[int, int] = {}
        self.first = window

    @classmethod
    async def of_settings(cls, raw: RawClient, *, ends: bool = True) -> Flow:
        """A client that has read the server's settings."""
        _, _, _, payload = await raw.next_of(frames.SETTINGS)
        values = dict(frames.read_settings(payload))
        return cls(raw, values[frames.INITIAL_WINDOW_SIZE], ends=ends)

    def begin(self, stream_id: int, body: bytes) -> None:
        self.raw.write(self.raw.headers(stream_id))
        self.left[stream_id] = message(body)
        self.windows[stream_id] = self.first
        self.send(stream_id)

    def send(self, stream_id: int) -> None:
        left = self.left[stream_id]
        while left and self.windows[stream_id] > 0:
            size = min(len(left), self.windows[stream_id], frames.DEFAULT_FRAME_BYTES)
            flags = frames.END_STREAM if self.ends and size == len(left) else 0
            self.raw.write(self.raw.data(stream_id, left[:size], flags))
            self.windows[stream_id] -= size
            left = left[size:]
        self.left[stream_id] = left

    async def take_windows(self) -> None:
        """Until the server has answered a ping, behind which it has said all that it had to say."""
        self.raw.write(frames.ping(b"12345678", is_answer=False))
        while True:
            kind, flags, stream_id, payload = await self.raw.frame()
            if kind == frames.PING and flags & frames.ACK:
                return
            if kind == frames.WINDOW_UPDATE and stream_id:
                self.windows[stream_id] += frames.read_word(payload)
                self.send(stream_id)


async def test_messages_are_let_in_one_after_the_other_when_there_is_no_room_for_all() -> None:
    limit = 4 * MEBIBYTE
    async with serve(max_connection_memory=limit) as served, connected(served) as raw:
        raw.begin()
        memory = served.front.memory
        flow = await Flow.of_settings(raw)
        served.host.on_submit = None
        for n in range(8):
            flow.begin(2 * n + 1, bytes(MEBIBYTE))
        for _ in range(5):
            await flow.take_windows()
        assert len(served.host.requests) >= 1
        assert memory.held_bytes <= limit
        for _ in range(100):
            for request in served.host.requests:
                if not request.is_done:
                    request.answer(200, b"OK", b"", b"small")
            await flow.take_windows()
            if len(served.host.requests) == 8:
                break
        assert [len(r.body) for r in served.host.requests] == [MEBIBYTE] * 8


async def test_unfinished_messages_of_all_calls_fill_no_more_than_the_limit() -> None:
    limit = 16 * MEBIBYTE
    async with serve(max_connection_memory=limit) as served, connected(served) as raw:
        raw.begin()
        flow = await Flow.of_settings(raw, ends=False)
        whole = message(bytes(4 * MEBIBYTE - 10))
        for n in range(MAX_STREAMS // 2):
            stream_id = 2 * n + 1
            raw.write(raw.headers(stream_id))
            flow.left[stream_id], flow.windows[stream_id] = whole[:-1], flow.first
            flow.send(stream_id)
            await raw.writer.drain()
        for _ in range(5):
            await flow.take_windows()
        sent = sum(len(whole) - 1 - len(left) for left in flow.left.values())
        assert limit / 2 <= sent <= limit
        assert served.front.memory.held_bytes <= limit
    while served.front.connections:
        await asyncio.sleep(0)
    assert served.front.memory.held_bytes == 0


async def test_a_client_that_sends_past_its_window_loses_the_call() -> None:
    async with serve(max_connection_memory=MEBIBYTE) as served, connected(served) as raw:
        raw.begin()
        for stream_id in (1, 3):
            raw.write(raw.headers(stream_id))
            raw.write(raw.data(stream_id, b"\0" + MEBIBYTE.to_bytes(4, "big"), 0))
        for _ in range(5):
            raw.write(raw.data(3, bytes(16_000), 0))
        _, _, stream_id, payload = await raw.next_of(frames.RST_STREAM)
        assert (stream_id, frames.read_word(payload)) == (3, frames.FLOW_CONTROL_ERROR)


async def test_answers_that_nobody_reads_keep_later_calls_from_being_begun() -> None:
    limit = 4 * MEBIBYTE
    answer = bytes(MEBIBYTE - 5)

    def answer_large(request: Request) -> None:
        request.answer(200, b"OK", b"", answer)

    async with (
        serve(max_connection_memory=limit, max_response_size=MEBIBYTE) as served,
        connected(served) as raw,
    ):
        served.host.on_submit = answer_large
        raw.begin({frames.INITIAL_WINDOW_SIZE: 0})
        for n in range(20):
            raw.call(2 * n + 1, b"x")
        flow = Flow(raw, 0)
        flow.windows = dict.fromkeys(range(1, 40, 2), 0)
        await flow.take_windows()
        assert len(served.host.requests) == 4
        assert served.front.memory.held_bytes == pytest.approx(limit, rel=0.01)
        # Whoever reads gets all of them.
        raw.write(frames.settings({frames.INITIAL_WINDOW_SIZE: 2**31 - 1}))
        raw.write(frames.window_update(0, 2**30))
        got: dict[int, int] = {}
        ended = 0
        while ended < 20:
            kind, flags, stream_id, payload = await raw.next_of(frames.DATA, frames.HEADERS)
            if kind == frames.DATA:
                got[stream_id] = got.get(stream_id, 0) + len(payload)
            ended += bool(flags & frames.END_STREAM)
        assert got == dict.fromkeys(range(1, 40, 2), MEBIBYTE)
        assert served.front.memory.held_bytes == 0


async def test_a_stream_whose_answers_wait_is_not_read_on(served: Served) -> None:
    async with connected(served) as raw:
        raw.begin({frames.INITIAL_WINDOW_SIZE: 0})
        raw.write(
            raw.headers(
                1,
                raw.block("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"),
            )
        )
        # `list_services`, a few bytes whose answer has hundreds.
        question = message(b"\x3a\x00")
        for _ in range(200):
            raw.write(raw.data(1, question * 40, 0))
        raw.write(raw.data(1, question, frames.END_STREAM))
        flow = Flow(raw, 0)
        flow.windows[1] = 0
        await flow.take_windows()
        assert served.front.memory.held_bytes < 200_000
        raw.write(frames.window_update(1, 2**30), frames.window_update(0, 2**30))
        body, headers = await raw.answer(1)
        assert headers["grpc-status"] == "0"
        size = 5 + int.from_bytes(body[1:5], "big")
        assert len(body) == size * 8001


async def test_a_compressed_message_to_a_full_model_is_refused_before_it_is_unfolded(
    served: Served, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    import grpc

    def refuse(name: str) -> None:
        raise ServiceUnavailable("full")

    def unfold(*arguments: object) -> None:
        raise AssertionError("unfolded")

    monkeypatch.setattr(served.host, "check_room", refuse)
    monkeypatch.setattr(served.front.inflater, "open", unfold)
    error = await client.fail(PREDICT, bytes(100_000), compression=grpc.Compression.Gzip)
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "full")


async def test_many_small_bombs_hold_little_and_each_gets_its_answer() -> None:
    async with serve(max_connection_memory=8 * MEBIBYTE) as served, connected(served) as raw:
        raw.begin({frames.INITIAL_WINDOW_SIZE: 2**30})
        raw.write(frames.window_update(0, 2**30))
        bomb = compressed(bytes(4 * MEBIBYTE - 10))
        assert len(bomb) < 5000
        tracemalloc.start()
        try:
            for n in range(64):
                raw.write(
                    raw.headers(2 * n + 1, raw.block(grpc_encoding="gzip")),
                    raw.data(2 * n + 1, bomb),
                )
            ended = 0
            while ended < 64:
                _, flags, _, _ = await raw.next_of(frames.HEADERS)
                ended += bool(flags & frames.END_STREAM)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 8 * MEBIBYTE
        assert [record[2] for record in served.records] == [413] * 64


async def test_answered_calls_leave_nothing_in_memory(served: Served, client: Client) -> None:
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(20):
            await client.call(PREDICT, bytes(MEBIBYTE))
            served.host.requests.clear()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert held < 5 * MEBIBYTE


async def test_a_call_that_its_client_takes_back_leaves_its_room_to_the_next() -> None:
    async with serve(max_connection_memory=MEBIBYTE) as served, connected(served) as raw:
        raw.begin()
        served.host.on_submit = None
        for n in range(3):
            raw.call(2 * n + 1, b"x")
        await asyncio.wait_for(served.host.arrived.wait(), WAIT_S)
        flow = Flow(raw, 0)
        for n in range(3):
            await flow.take_windows()
            assert len(served.host.requests) == n + 1
            raw.write(frames.rst_stream(2 * n + 1, frames.CANCEL))
        await flow.take_windows()
        assert served.front.memory.held_bytes == 0


async def test_messages_of_all_connections_together_fill_no_more_than_the_limit() -> None:
    """The begins of messages, too: a connection that has too many of them is read no more, and loses them in time."""
    limit = 8 * MEBIBYTE
    async with (
        serve(max_buffered_memory=limit) as served,
        connected(served) as first,
        connected(served) as second,
    ):
        memory = served.front.memory
        whole = message(bytes(4 * MEBIBYTE - 10))
        for raw in (first, second):
            raw.begin()
            await raw.next_of(frames.SETTINGS)
            for n in range(MAX_STREAMS):
                raw.write(raw.headers(2 * n + 1))
                for _ in range(3):
                    raw.write(raw.data(2 * n + 1, whole[:16_000], 0))
        async with asyncio.timeout(WAIT_S):
            while not any(c._is_held for c in served.front.connections):
                await asyncio.sleep(0.001)
        assert memory.held_bytes <= 2 * limit + 4 * MEBIBYTE
        held = [c for c in served.front.connections if c._is_held]
        assert len(held) == 1, "one is read on, else none would come to its end"
        held[0].check_time(time.monotonic() + 61)
        assert not held[0]._is_held
        assert {record[2] for record in served.records} == {503}


async def test_a_client_that_has_stopped_sending_gets_the_answers_that_it_is_owed() -> None:
    """What it had not sent to the end is dropped; so is the connection, with the last answer."""
    async with serve(max_response_size=MEBIBYTE) as served, connected(served) as raw:
        raw.begin()
        served.host.on_submit = None
        for n in range(10):
            raw.call(2 * n + 1, b"x")
        raw.write(raw.headers(21), raw.data(21, message(b"abc")[:-1], 0))
        raw.writer.write_eof()
        async with asyncio.timeout(WAIT_S):
            while len(served.host.requests) < 10 or not served.records:
                await asyncio.sleep(0.001)
        for request in served.host.requests:
            request.answer(200, b"OK", b"", b"late")
        for n in range(10):
            _, headers = await raw.answer(2 * n + 1)
            assert headers["grpc-status"] == "0"
        assert await asyncio.wait_for(raw.reader.read(), WAIT_S) is not None
        assert not served.front.connections
    assert sorted(record[2] for record in served.records) == [200] * 10 + [499]
