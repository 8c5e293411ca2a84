"""Bodies that come slowly, or not at all: what they may take of time and memory."""

from __future__ import annotations

import asyncio
import gc
import time

import pytest
from support.waiting import until

from mms.http.lane.body import GROWTH_BYTES

LENGTH = 1_000_000
HEAD = b"POST /predictions/m HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % LENGTH


async def connection_with(bench, filled: int):
    """The lane's one connection, once so much of its body has come."""
    (connection,) = await until(
        lambda: [c for c in bench.lane.connections if c.body_filled >= filled],
        f"{filled} bytes of the body have arrived",
    )
    return connection


@pytest.mark.parametrize("sent", [1, 100_000, GROWTH_BYTES + 1, 3 * GROWTH_BYTES + 7])
async def test_a_body_has_room_for_what_has_come_and_not_for_what_is_announced(bench, sent):
    _, writer = await bench.connect()
    writer.write(HEAD + b"x" * sent)
    connection = await connection_with(bench, sent)
    assert connection._reader.room_bytes <= min(LENGTH, 2 * sent + GROWTH_BYTES)
    # Nothing is written to the rest.
    assert len(connection._reader._body) <= min(LENGTH, max(16 * sent, GROWTH_BYTES + sent))
    writer.transport.abort()


async def test_a_body_that_came_slowly_is_not_kept_once_it_is_answered(bench):
    reader, writer = await bench.connect()
    writer.write(HEAD + b"x")
    connection = await connection_with(bench, 1)
    connection.check_time(time.monotonic())
    request = connection._body_request
    writer.write(b"x" * (LENGTH - 1))
    await reader.readuntil(b"\r\n\r\n")
    await until(lambda: not connection._pipeline, "the request is answered")
    assert request.is_done
    holders = [type(each).__name__ for each in gc.get_referrers(request) if type(each) is tuple]
    assert not holders
    writer.transport.abort()


@pytest.mark.parametrize("pieces", [[1, 999_999], [100_000] * 10, [262_145, 737_855], [999_999, 1]])
async def test_a_body_that_grows_arrives_whole(bench, pieces):
    body = bytes(range(250)) * (LENGTH // 250)
    reader, writer = await bench.connect()
    writer.write(HEAD)
    filled = 0
    for size in pieces:
        writer.write(body[filled : filled + size])
        filled += size
        if filled < LENGTH:
            await connection_with(bench, filled)
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    assert head.startswith(b"HTTP/1.1 200")
    assert await asyncio.wait_for(reader.readexactly(LENGTH), 10) == body
    writer.close()


@pytest.mark.parametrize("sent", [1, 800_000, LENGTH - 1])
async def test_a_body_must_come_with_its_rate_at_any_time(bench, sent):
    reader, writer = await bench.connect()
    writer.write(HEAD + b"x" * sent)
    connection = await connection_with(bench, sent)
    # Neither what has come already nor what is still to come gives more time.
    start = time.monotonic()
    connection.check_time(start)
    connection.check_time(start + bench.lane.body_timeout_s)
    assert not connection._is_closing
    connection.check_time(start + bench.lane.body_timeout_s + 0.1)
    assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 408 ")
    assert bench.host.requests == []
    writer.close()
