"""What connections of the lane hold of requests and answers, and what happens at the limits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from support.waiting import until

from mms.core import Request
from mms.http.lane.body import BodyReader
from mms.limits.memory import MemoryLimit

MEBIBYTE = 1 << 20
LENGTH = 900_000
BEGUN = LENGTH * 3 // 4
HEAD = b"POST /predictions/m HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
ASK = b"GET /predictions/m HTTP/1.1\r\nHost: x\r\n\r\n"


async def served(bench) -> None:
    """Until the loop has read and done what came before this."""
    reader, writer = await bench.connect()
    writer.write(b"GET /predictions/other HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    writer.close()


def large_answers(size: int) -> Callable[[Request], None]:
    def answer(request: Request) -> None:
        request.answer(200, b"OK", b"", b"" if request.name == "other" else bytes(size))

    return answer


async def read_answers(reader: asyncio.StreamReader, count: int, size: int) -> None:
    for _ in range(count):
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        await asyncio.wait_for(reader.readexactly(size), 10)


async def test_requests_are_read_while_their_answers_would_find_room(bench) -> None:
    """Before a model's first answer each may be as large as any may be; later as its largest."""
    bench.lane.memory = MemoryLimit(10 * MEBIBYTE, 100 * MEBIBYTE, 2 * MEBIBYTE)
    bench.host.on_submit = None
    reader, writer = await bench.connect()
    writer.write(ASK * 40)
    await until(lambda: len(bench.host.requests) == 6)
    bench.host.on_submit = large_answers(100)
    for request in list(bench.host.requests):
        request.answer(200, b"OK", b"", bytes(100))
    await read_answers(reader, 40, 100)
    bench.host.on_submit = None
    writer.write(ASK * 40)
    await until(lambda: len(bench.host.requests) == 40 + 32)
    writer.close()


async def test_answers_that_are_not_read_hold_no_more_than_the_limit(bench) -> None:
    bench.lane.memory = memory = MemoryLimit(4 * MEBIBYTE, 100 * MEBIBYTE, MEBIBYTE)
    bench.host.on_submit = large_answers(MEBIBYTE)
    clients = [await bench.connect() for _ in range(3)]
    for _, writer in clients:
        writer.transport.pause_reading()
        writer.write(ASK * 30)
    await until(lambda: len(bench.host.requests) >= 3)
    await served(bench)
    assert memory.held_bytes <= 3 * 5 * MEBIBYTE
    assert len(bench.host.requests) < 3 * 10
    for reader, writer in clients:
        writer.transport.resume_reading()
        await read_answers(reader, 30, MEBIBYTE)
        writer.close()
    await until(lambda: not memory.held_bytes)


async def test_answers_behind_a_slow_one_count(bench) -> None:
    bench.lane.memory = memory = MemoryLimit(4 * MEBIBYTE, 100 * MEBIBYTE, MEBIBYTE)
    bench.host.on_submit = None
    reader, writer = await bench.connect()
    writer.write(ASK * 30)
    await until(lambda: len(bench.host.requests) == 5)
    for request in bench.host.requests[1:]:
        request.answer(200, b"OK", b"", bytes(MEBIBYTE))
    assert memory.held_bytes >= 4 * MEBIBYTE
    assert len(bench.host.requests) == 5
    bench.host.on_submit = large_answers(MEBIBYTE)
    bench.host.requests[0].answer(200, b"OK", b"", bytes(MEBIBYTE))
    await read_answers(reader, 30, MEBIBYTE)
    writer.close()


Writers = list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]


async def half_bodies(bench, count: int) -> Writers:
    """Connections with most of a body each, which is more than all may hold."""
    bench.lane.memory = MemoryLimit(32 * MEBIBYTE, count * LENGTH // 2, MEBIBYTE)
    clients = [await bench.connect() for _ in range(count)]
    for _, writer in clients:
        writer.write(HEAD % LENGTH + bytes(BEGUN))
    await until(lambda: bench.lane.memory.waiting)
    return clients


async def test_large_bodies_wait_when_all_hold_too_much_and_small_ones_do_not(bench) -> None:
    clients = await half_bodies(bench, 6)
    memory = bench.lane.memory
    assert memory.held_bytes <= memory.all_bytes + LENGTH
    assert memory.waiting < len(clients), "one goes on, else none would come to its end"
    reader, writer = await bench.connect()
    for size in (0, 10, 70_000):
        writer.write(HEAD % size + bytes(size))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        assert head.startswith(b"HTTP/1.1 200")
        await reader.readexactly(size)
    writer.close()
    for _, writer in clients:
        writer.write(bytes(LENGTH - BEGUN))
    for reader, writer in clients:
        await read_answers(reader, 1, LENGTH)
        writer.close()
    await until(lambda: not memory.held_bytes)


async def test_a_body_that_finds_no_room_in_its_time_is_503_and_not_its_clients_fault(
    bench,
) -> None:
    clients = await half_bodies(bench, 6)
    waiting = next(c for c in bench.lane.connections if c._account.is_waiting)
    waiting.check_time(time.monotonic() + 1000)
    pending = [asyncio.ensure_future(reader.read()) for reader, _ in clients]
    (done,), _ = await asyncio.wait(pending, timeout=10, return_when=asyncio.FIRST_COMPLETED)
    assert done.result().startswith(b"HTTP/1.1 503")
    assert b"max_buffered_memory" in done.result()
    for task in pending:
        task.cancel()
    for _, writer in clients:
        writer.transport.abort()


@pytest.mark.parametrize("ends", ["whole", "reset", "half_closed", "refused"])
async def test_a_transport_does_not_keep_the_body_that_it_has_read(
    bench, ends: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers: list[BodyReader] = []
    make_room = BodyReader.make_room

    def note(reader: BodyReader) -> bool:
        readers.append(reader)
        return make_room(reader)

    monkeypatch.setattr(BodyReader, "make_room", note)
    reader, writer = await bench.connect()
    writer.write(HEAD % LENGTH + bytes(BEGUN))
    await until(lambda: readers and readers[0]._body)
    if ends == "whole":
        writer.write(bytes(LENGTH - BEGUN))
        await read_answers(reader, 1, LENGTH)
    elif ends == "reset":
        writer.transport.abort()
    elif ends == "half_closed":
        writer.write_eof()
    else:
        (connection,) = bench.lane.connections
        connection.check_time(time.monotonic())
        connection.check_time(time.monotonic() + 1000)
    await until(lambda: not readers[0]._body)
    writer.transport.abort()


async def test_a_client_that_reads_a_few_bytes_now_and_then_is_let_go(bench) -> None:
    bench.host.on_submit = large_answers(8 * MEBIBYTE)
    reader, writer = await bench.connect()
    writer.transport.pause_reading()
    writer.write(ASK)
    await until(lambda: bench.host.requests)
    (connection,) = bench.lane.connections
    start = time.monotonic()
    connection.check_time(start)
    for second in range(1, 60):
        connection._written_bytes += 1
        connection.check_time(start + second)
    assert not connection._transport.is_closing()
    connection.check_time(start + 62)
    assert connection._transport.is_closing()
    writer.close()
