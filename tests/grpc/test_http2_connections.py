"""What one connection of HTTP/2 may do and may not, frame by frame."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator

import pytest
from front_serving import WAIT_S, Served, serve
from hpack import Decoder, Encoder

from mms.errors import ServiceUnavailable
from mms.grpc import frames
from mms.grpc.frames import frame_header
from mms.grpc.head import literal
from mms.grpc.inflow import MAX_STREAMS

PREDICT = "/seldon.protos.Model/Predict"


class RawClient:
    """Writes and reads frames; its own flow control is up to the test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.encoder = Encoder()
        self.decoder = Decoder()

    def write(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))

    def begin(self, settings: dict[int, int] | None = None) -> None:
        self.write(frames.PREFACE, frames.settings(settings or {}))

    def block(self, path: str = PREDICT, **others: str) -> bytes:
        headers = {
            ":method": "POST",
            ":scheme": "http",
            ":path": path,
            ":authority": "here",
            "content-type": "application/grpc",
            "te": "trailers",
        }
        headers |= {name.replace("_", "-").replace("pseudo-", ":"): v for name, v in others.items()}
        return self.encoder.encode(list(headers.items()))

    def headers(self, stream_id: int, block: bytes | None = None, flags: int = 0) -> bytes:
        block = self.block() if block is None else block
        flags |= frames.END_HEADERS
        return frame_header(len(block), frames.HEADERS, flags, stream_id) + block

    def data(self, stream_id: int, payload: bytes, flags: int = frames.END_STREAM) -> bytes:
        return frame_header(len(payload), frames.DATA, flags, stream_id) + payload

    def call(self, stream_id: int, body: bytes = b"") -> None:
        self.write(self.headers(stream_id), self.data(stream_id, message(body)))

    async def frame(self) -> tuple[int, int, int, bytes]:
        """(type, flags, stream, payload) of the next frame."""
        header = await asyncio.wait_for(self.reader.readexactly(frames.HEADER_BYTES), WAIT_S)
        high, low, kind, flags, stream_id = frames.read_header(header)
        payload = await asyncio.wait_for(self.reader.readexactly(high << 8 | low), WAIT_S)
        return kind, flags, stream_id, payload

    async def next_of(self, *kinds: int) -> tuple[int, int, int, bytes]:
        while True:
            found = await self.frame()
            if found[0] in kinds:
                return found

    async def answer(self, stream_id: int) -> tuple[bytes, dict[str, str]]:
        """The messages' bytes and all headers and trailers of one stream."""
        body = bytearray()
        headers: dict[str, str] = {}
        while True:
            kind, flags, found_id, payload = await self.next_of(frames.DATA, frames.HEADERS)
            assert found_id == stream_id
            if kind == frames.DATA:
                body += payload
            else:
                headers |= dict(self.decoder.decode(payload))
            if flags & frames.END_STREAM:
                return bytes(body), headers

    async def end(self) -> None:
        """Until the server has closed; what it has not read by then resets the connection."""
        with contextlib.suppress(ConnectionResetError):
            await asyncio.wait_for(self.reader.read(), WAIT_S)

    async def broken(self) -> int:
        """The code with which the server ends the connection."""
        payload = (await self.next_of(frames.GOAWAY))[3]
        assert await asyncio.wait_for(self.reader.read(), WAIT_S) == b""
        return int(struct.unpack(">II", payload[:8])[1])


def message(body: bytes) -> bytes:
    return struct.pack(">BI", 0, len(body)) + body


@contextlib.asynccontextmanager
async def connected(served: Served) -> AsyncIterator[RawClient]:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@pytest.fixture
async def raw(served: Served) -> AsyncIterator[RawClient]:
    async with connected(served) as client:
        client.begin()
        yield client


async def test_bytes_may_come_one_by_one(served: Served, raw: RawClient) -> None:
    everything = raw.headers(1) + raw.data(1, message(b"abc"))
    for byte in everything:
        raw.write(bytes([byte]))
        await raw.writer.drain()
        await asyncio.sleep(0)
    body, headers = await raw.answer(1)
    assert body == message(b"abc")
    assert headers[":status"] == "200"
    assert headers["content-type"] == "application/grpc"
    assert headers["grpc-status"] == "0"


async def test_a_preface_may_come_in_pieces(served: Served) -> None:
    async with connected(served) as client:
        client.write(frames.PREFACE[:10])
        await client.next_of(frames.SETTINGS)
        client.write(frames.PREFACE[10:], frames.settings({}))
        client.call(1, b"x")
        assert (await client.answer(1))[0] == message(b"x")


async def test_a_client_of_http_1_is_told_what_this_port_serves(served: Served) -> None:
    async with connected(served) as client:
        client.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        everything = await asyncio.wait_for(client.reader.read(), WAIT_S)
    assert b"HTTP/1.1 400 Bad Request\r\n" in everything
    assert everything.endswith(b"This port serves gRPC, which needs HTTP/2.\n")


async def test_equal_heads_are_read_once_and_mean_the_same(raw: RawClient, served: Served) -> None:
    for stream_id in (1, 3, 5, 7):
        raw.call(stream_id, b"%d" % stream_id)
        assert (await raw.answer(stream_id))[0] == message(b"%d" % stream_id)
    assert {request.headers for request in served.host.requests} == {b""}


async def test_equal_blocks_mean_another_thing_once_the_table_has_changed(
    raw: RawClient, served: Served
) -> None:
    """The index of the newest entry is 62, whatever that is."""
    for stream_id, value in ((1, "a"), (5, "b")):
        raw.write(raw.headers(stream_id, raw.block(x_value=value)))
        raw.write(raw.data(stream_id, message(b"")))
        await raw.answer(stream_id)
        again = raw.block(x_value=value)
        raw.write(raw.headers(stream_id + 2, again), raw.data(stream_id + 2, message(b"")))
        await raw.answer(stream_id + 2)
    values = [request.headers.rpartition(b"\n")[2] for request in served.host.requests]
    assert values == [b"a", b"a", b"b", b"b"]


async def test_padding_and_priorities_are_no_part_of_a_message(raw: RawClient) -> None:
    block = b"\x02" + b"\x80\x00\x00\x00\x10" + raw.block() + b"\0\0"
    flags = frames.PADDED | frames.HAS_PRIORITY
    padded = b"\x03" + message(b"abc") + b"\0\0\0"
    raw.write(raw.headers(1, block, flags))
    raw.write(raw.data(1, padded, frames.PADDED | frames.END_STREAM))
    assert (await raw.answer(1))[0] == message(b"abc")


async def test_headers_may_continue_in_other_frames(raw: RawClient) -> None:
    block = raw.block()
    raw.write(frame_header(3, frames.HEADERS, 0, 1) + block[:3])
    raw.write(frame_header(0, frames.CONTINUATION, 0, 1))
    rest = block[3:]
    raw.write(frame_header(len(rest), frames.CONTINUATION, frames.END_HEADERS, 1) + rest)
    raw.write(raw.data(1, message(b"")))
    assert (await raw.answer(1))[1]["grpc-status"] == "0"


async def test_headers_without_an_end_break_the_connection(raw: RawClient) -> None:
    # In one piece: what comes after the end of a connection has it reset, and the reason may be lost.
    more = frame_header(0, frames.CONTINUATION, 0, 1) * 40
    raw.write(frame_header(1, frames.HEADERS, 0, 1) + b"\x88" + more)
    assert await raw.broken() == frames.ENHANCE_YOUR_CALM


async def test_trailers_of_a_client_end_its_message(raw: RawClient) -> None:
    raw.write(raw.headers(1), raw.data(1, message(b"abc"), 0))
    raw.write(raw.headers(1, raw.encoder.encode([("x-sum", "1")]), frames.END_STREAM))
    assert (await raw.answer(1))[0] == message(b"abc")


async def test_an_answer_waits_for_the_windows_of_its_client(served: Served) -> None:
    async with connected(served) as client:
        client.begin({frames.INITIAL_WINDOW_SIZE: 10})
        client.call(1, b"x" * 25)
        await client.next_of(frames.HEADERS)
        received = (await client.next_of(frames.DATA))[3]
        assert len(received) == 10
        client.write(frames.window_update(1, 7))
        received += (await client.next_of(frames.DATA))[3]
        assert len(received) == 17
        client.write(frames.settings({frames.INITIAL_WINDOW_SIZE: 100}))
        body, trailers = await client.answer(1)
        assert received + body == message(b"x" * 25)
        assert trailers["grpc-status"] == "0"


async def test_the_window_of_the_connection_is_shared_by_its_calls(served: Served) -> None:
    size = 40_000
    async with connected(served) as client:
        client.begin()
        for stream_id in (1, 3):
            client.write(client.headers(stream_id))
            sent = message(b"x" * size)
            for at in range(0, len(sent), 16_000):
                is_last = at + 16_000 >= len(sent)
                flags = frames.END_STREAM if is_last else 0
                client.write(client.data(stream_id, sent[at : at + 16_000], flags))
        received = {1: 0, 3: 0}
        ended = set()
        while sum(received.values()) < frames.DEFAULT_WINDOW_BYTES:
            kind, flags, stream_id, payload = await client.next_of(frames.DATA, frames.HEADERS)
            received[stream_id] += len(payload) if kind == frames.DATA else 0
            if flags & frames.END_STREAM:
                ended.add(stream_id)
        assert sum(received.values()) == frames.DEFAULT_WINDOW_BYTES
        client.write(frames.window_update(0, 100_000))
        while ended != {1, 3}:
            kind, flags, stream_id, payload = await client.next_of(frames.DATA, frames.HEADERS)
            received[stream_id] += len(payload) if kind == frames.DATA else 0
            if flags & frames.END_STREAM:
                ended.add(stream_id)
        assert received == {1: size + 5, 3: size + 5}


async def test_a_reset_call_is_cancelled_and_answered_no_more(
    raw: RawClient, served: Served
) -> None:
    served.host.on_submit = None
    raw.call(1)
    await asyncio.wait_for(served.host.arrived.wait(), WAIT_S)
    raw.write(frames.rst_stream(1, frames.CANCEL))
    await asyncio.wait_for(served.host.was_cancelled.wait(), WAIT_S)
    served.host.requests[0].answer(200, b"OK", b"", b"late")
    served.host.on_submit = lambda request: request.answer(200, b"OK", b"", b"second")
    raw.call(3)
    assert (await raw.answer(3))[0] == message(b"second")


async def test_pings_are_answered_with_their_bytes(raw: RawClient) -> None:
    raw.write(frames.ping(b"12345678", is_answer=False))
    assert (await raw.next_of(frames.PING))[1:] == (frames.ACK, 0, b"12345678")


async def test_a_flood_of_pings_breaks_the_connection(raw: RawClient) -> None:
    raw.write(frames.ping(b"12345678", is_answer=False) * 20_000)
    await raw.end()


async def test_a_flood_of_resets_breaks_the_connection(raw: RawClient, served: Served) -> None:
    served.host.on_submit = None
    for stream_id in range(1, 20_000, 2):
        raw.call(stream_id)
        raw.write(frames.rst_stream(stream_id, frames.CANCEL))
    await raw.end()


async def test_calls_over_the_limit_are_refused_and_may_be_tried_again(
    raw: RawClient, served: Served
) -> None:
    served.host.on_submit = None
    served.front.memory.note_answer("iris", 10)
    for n in range(MAX_STREAMS + 1):
        raw.call(2 * n + 1)
    kind, _, stream_id, payload = await raw.next_of(frames.RST_STREAM)
    assert (stream_id, frames.read_word(payload)) == (2 * MAX_STREAMS + 1, frames.REFUSED_STREAM)
    assert len(served.host.requests) == MAX_STREAMS


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"pseudo_method": "GET"}, "405"), ({"content_type": "application/json"}, "415")],
)
async def test_what_is_no_call_of_grpc_gets_a_status_of_http(
    headers: dict[str, str], status: str, raw: RawClient
) -> None:
    raw.write(raw.headers(1, raw.block(**headers), frames.END_STREAM))
    assert (await raw.answer(1))[1] == {":status": status}


@pytest.mark.parametrize(
    "headers",
    [
        {"pseudo_operation": "route"},
        {"connection": "close"},
        {"x_value": "a\n:operation\nroute"},
        {"grpc_timeout": "soon"},
        {"pseudo_path": "/a\x1b[31m"},
        {"pseudo_path": "/a b"},
    ],
)
async def test_headers_that_are_not_allowed_reset_their_stream(
    headers: dict[str, str], raw: RawClient, served: Served
) -> None:
    raw.write(raw.headers(1, raw.block(**headers), frames.END_STREAM))
    kind, _, stream_id, payload = await raw.next_of(frames.RST_STREAM)
    assert (stream_id, frames.read_word(payload)) == (1, frames.PROTOCOL_ERROR)
    raw.call(3)
    assert (await raw.answer(3))[1]["grpc-status"] == "0"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", "12"),
        (message(b"a") + message(b"b"), "12"),
        (message(b"abc")[:-1], "13"),
        (b"\x07\0\0\0\0", "13"),
        (b"\x01\0\0\0\x01a", "12"),
    ],
)
async def test_anything_but_one_whole_message_fails_the_call(
    data: bytes, status: str, raw: RawClient, served: Served
) -> None:
    raw.write(raw.headers(1), raw.data(1, data))
    assert (await raw.answer(1))[1]["grpc-status"] == status
    assert served.host.requests == []


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (frame_header(16_385, frames.DATA, 0, 1), frames.FRAME_SIZE_ERROR),
        (frame_header(1, frames.DATA, 0, 9) + b"x", frames.PROTOCOL_ERROR),
        (frame_header(1, frames.HEADERS, 4, 2) + b"\x88", frames.PROTOCOL_ERROR),
        (frame_header(2, frames.HEADERS, 4, 1) + b"\xff\xff", frames.COMPRESSION_ERROR),
        (frame_header(1, frames.HEADERS, 4, 1) + b"\xfe", frames.COMPRESSION_ERROR),
        (frame_header(0, frames.CONTINUATION, 4, 1), frames.PROTOCOL_ERROR),
        (frame_header(3, frames.SETTINGS, 0, 0) + b"abc", frames.FRAME_SIZE_ERROR),
        (frames.settings({frames.INITIAL_WINDOW_SIZE: 2**31}), frames.FLOW_CONTROL_ERROR),
        (frames.settings({frames.MAX_FRAME_SIZE: 5}), frames.PROTOCOL_ERROR),
        (frames.window_update(0, 0), frames.PROTOCOL_ERROR),
        (frames.window_update(0, 2**31 - 1), frames.FLOW_CONTROL_ERROR),
        (frames.rst_stream(7, 0), frames.PROTOCOL_ERROR),
        (frame_header(4, frames.PUSH_PROMISE, 4, 1) + b"\0\0\0\2", frames.PROTOCOL_ERROR),
    ],
)
async def test_a_frame_that_breaks_the_rules_ends_the_connection_with_its_code(
    frame: bytes, code: int, raw: RawClient
) -> None:
    raw.write(frame)
    assert await raw.broken() == code


async def test_frames_of_kinds_yet_unknown_are_passed_over(raw: RawClient) -> None:
    raw.write(frame_header(3, 99, 0xFF, 5) + b"abc")
    raw.call(1)
    assert (await raw.answer(1))[1]["grpc-status"] == "0"


async def test_what_still_comes_of_an_answered_call_is_thrown_away(raw: RawClient) -> None:
    raw.write(raw.headers(1, raw.block("/no/method")))
    assert (await raw.answer(1))[1]["grpc-status"] == "12"
    # The client is told that nobody reads on.
    payload = (await raw.next_of(frames.RST_STREAM))[3]
    assert frames.read_word(payload) == frames.NO_ERROR
    for _ in range(100):
        raw.write(raw.data(1, b"x" * 16_000, 0))
    raw.call(3)
    assert (await raw.answer(3))[1]["grpc-status"] == "0"


async def test_a_message_over_the_limit_in_one_frame_is_refused() -> None:
    async with serve(grpc_max_request_size=10) as served, connected(served) as client:
        client.begin()
        client.call(1, b"x" * 11)
        assert (await client.answer(1))[1]["grpc-status"] == "8"
        client.call(3, b"x" * 10)
        assert (await client.answer(3))[1]["grpc-status"] == "0"


async def test_a_block_that_changes_the_table_changes_it_each_time_it_comes(
    raw: RawClient, served: Served
) -> None:
    """What the second one added has the index 62, what the first one added then has 63."""
    start = b"\x83\x86" + literal(b":path", PREDICT.encode())
    start += literal(b"content-type", b"application/grpc")
    adding = start + b"\x40\x05x-new\x03abc"
    for stream_id, block in ((1, adding), (3, adding), (5, start + b"\xbf")):
        raw.write(raw.headers(stream_id, block), raw.data(stream_id, message(b"")))
        assert (await raw.answer(stream_id))[1]["grpc-status"] == "0"
    assert served.host.requests[2].headers == b"x-new\nabc"


async def test_the_requests_of_a_broken_connection_are_cancelled(
    raw: RawClient, served: Served
) -> None:
    served.host.on_submit = None
    raw.call(1)
    await asyncio.wait_for(served.host.arrived.wait(), WAIT_S)
    raw.writer.transport.abort()
    await asyncio.wait_for(served.host.was_cancelled.wait(), WAIT_S)


async def test_the_end_of_a_call_waits_for_its_messages(served: Served) -> None:
    path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
    async with connected(served) as client:
        client.begin({frames.INITIAL_WINDOW_SIZE: 10})
        client.write(client.headers(1, client.block(path)))
        client.write(client.data(1, message(b"\x3a\x01*")))
        first = await client.next_of(frames.DATA)
        assert (len(first[3]), first[1]) == (10, 0)
        client.write(frames.ping(b"12345678", is_answer=False))
        assert (await client.frame())[0] == frames.PING
        client.write(frames.window_update(1, 100_000))
        body, trailers = await client.answer(1)
        assert b"seldon.protos.Combiner" in body
        assert trailers["grpc-status"] == "0"


async def test_a_silent_client_that_answers_no_ping_is_let_go(served: Served) -> None:
    async with connected(served) as client:
        client.begin()
        await client.next_of(frames.SETTINGS)
        client.call(1)
        await client.answer(1)
        (connection,) = served.front.connections
        now = asyncio.get_running_loop().time()
        connection.check_time(now + 80)
        await client.next_of(frames.PING)
        connection.check_time(now + 90)
        assert served.front.connections
        connection.check_time(now + 110)
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(client.reader.read(), WAIT_S) == b""
        assert not served.front.connections


async def test_a_client_that_answers_pings_stays(served: Served) -> None:
    async with connected(served) as client:
        client.begin()
        client.call(1)
        await client.answer(1)
        (connection,) = served.front.connections
        now = asyncio.get_running_loop().time()
        connection.check_time(now + 80)
        payload = (await client.next_of(frames.PING))[3]
        client.write(frames.ping(payload, is_answer=True))
        client.call(3)
        await client.answer(3)
        connection.check_time(now + 110)
        client.call(5)
        assert (await client.answer(5))[1]["grpc-status"] == "0"


async def test_a_client_without_a_preface_is_let_go(served: Served) -> None:
    async with connected(served) as client:
        await client.next_of(frames.SETTINGS)
        (connection,) = served.front.connections
        connection.check_time(asyncio.get_running_loop().time() + 31)
        with contextlib.suppress(ConnectionResetError):
            await asyncio.wait_for(client.reader.read(), WAIT_S)
        assert not served.front.connections


async def test_connections_over_the_limit_are_closed_at_once() -> None:
    async with serve(max_connections=1) as served, connected(served) as first:
        first.begin()
        await first.next_of(frames.SETTINGS)
        async with connected(served) as second:
            assert await asyncio.wait_for(second.reader.read(), WAIT_S) == b""
        first.call(1)
        assert (await first.answer(1))[1]["grpc-status"] == "0"


async def test_a_stopping_server_says_so_and_closes_after_the_last_answer(
    raw: RawClient, served: Served
) -> None:
    served.host.on_submit = None
    raw.call(1)
    await asyncio.wait_for(served.host.arrived.wait(), WAIT_S)
    await served.front.stop_listening()
    payload = (await raw.next_of(frames.GOAWAY))[3]
    assert struct.unpack(">II", payload[:8]) == (1, frames.NO_ERROR)
    raw.call(3)
    raw.write(frames.ping(b"12345678", is_answer=False))
    await raw.next_of(frames.PING)
    served.host.requests[0].fail(ServiceUnavailable("stopping"))
    assert (await raw.answer(1))[1]["grpc-status"] == "14"
    assert await asyncio.wait_for(raw.reader.read(), WAIT_S) == b""
    assert len(served.host.requests) == 1
