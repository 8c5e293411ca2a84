"""The load generator against small servers of this process."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mms.load_test import (
    ClosedLoop,
    ConstantArrivals,
    LatencyGoal,
    LoadRequest,
    LoadResult,
    PoissonArrivals,
    Target,
    run_load,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"
REQUESTS = [LoadRequest("/one", b"1"), LoadRequest("/two", b"22")]


class Peer(asyncio.Protocol):
    """Answers each read, which holds one request, by `answer`."""

    def __init__(self, answer: Callable[[asyncio.Transport, bytes], None]) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._answer(self._transport, data)


@asynccontextmanager
async def serving(answer: Callable[[asyncio.Transport, bytes], None]) -> AsyncIterator[Target]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Peer(answer), "127.0.0.1", 0)
    try:
        yield Target("127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        server.close()


def _answer_with(data: bytes) -> Callable[[asyncio.Transport, bytes], None]:
    return lambda transport, _: transport.write(data)


async def _load(
    target: Target, rate: float = 200, duration_s: float = 0.2, **options
) -> LoadResult:
    return await run_load(target, REQUESTS, PoissonArrivals(rate), duration_s=duration_s, **options)


async def test_every_request_that_was_due_has_one_outcome_and_each_kind_its_turn() -> None:
    seen: Counter[bytes] = Counter()

    def answer(transport: asyncio.Transport, data: bytes) -> None:
        seen[data.split(b" ")[1]] += 1
        transport.write(OK)

    async with serving(answer) as target:
        result = await _load(target, 500)
    assert result.error_count == 0
    assert result.latencies.count == result.requests == sum(seen.values())
    assert abs(seen[b"/one"] - seen[b"/two"]) <= 1
    assert sum(interval.latencies.count for interval in result.timeline) == result.requests
    assert result.statuses == {200: result.requests}
    assert result.received_bytes == len(OK) * result.requests


async def test_what_is_due_in_the_warm_up_is_sent_and_not_counted() -> None:
    seen = 0

    def answer(transport: asyncio.Transport, data: bytes) -> None:
        nonlocal seen
        seen += 1
        transport.write(OK)

    async with serving(answer) as target:
        result = await run_load(
            target, REQUESTS, ConstantArrivals(200), duration_s=0.1, warm_up_s=0.1
        )
    assert result.requests == result.latencies.count
    assert (seen, result.requests) == (pytest.approx(40, abs=1), pytest.approx(20, abs=1))


async def test_a_stall_of_the_server_is_charged_with_all_requests_that_were_due_meanwhile() -> None:
    loop = asyncio.get_running_loop()
    stalls_until: float | None = None

    def answer(transport: asyncio.Transport, data: bytes) -> None:
        nonlocal stalls_until
        if stalls_until is None:
            stalls_until = loop.time() + 0.3
        loop.call_at(max(stalls_until, loop.time()), transport.write, OK)

    async with serving(answer) as target:
        # One connection: a client that waits for its answer sends nothing during the stall.
        result = await run_load(
            target, REQUESTS, ConstantArrivals(100), duration_s=0.6, connections=1
        )
    assert result.error_count == 0
    late = result.latencies.count - result.latencies.within(0.05)
    assert late >= 20, "those that were due in the first quarter of a second"
    sent_late = result.service_times.count - result.service_times.within(0.05)
    assert sent_late < late, "when they were sent they were answered at once"


async def test_a_request_that_finds_no_connection_has_one_opened_up_to_the_limit() -> None:
    loop = asyncio.get_running_loop()

    def answer(transport: asyncio.Transport, data: bytes) -> None:
        loop.call_later(0.1, transport.write, OK)

    async with serving(answer) as target:
        few = await _load(target, 100, connections=3)
        many = await _load(target, 100)
    assert few.most_connections == 3
    assert many.most_connections > 3
    assert few.error_count == many.error_count == 0


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "503"),
        (b"nonsense\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * (2 << 20), "not HTTP"),
    ],
)
async def test_errors_are_counted_by_their_kind(data: bytes, kind: str) -> None:
    async with serving(_answer_with(data)) as target:
        result = await _load(target, 100)
    assert result.requests
    assert result.errors == {kind: result.requests}
    assert not result.holds(LatencyGoal(1.0))


async def test_an_answer_that_nobody_asked_for_ends_its_connection_and_is_not_counted() -> None:
    async with serving(_answer_with(OK + OK)) as target:
        result = await _load(target, 100)
    assert result.latencies.count == result.requests


async def test_a_connection_that_ends_fails_its_request_alone() -> None:
    async with serving(lambda transport, _: transport.abort()) as target:
        result = await _load(target, 100)
    assert result.errors == {"connection lost": result.requests}


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nOK",
        b"HTTP/1.0 200 OK\r\n\r\nOK",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nOK\r\n0\r\n\r\n",
    ],
)
async def test_each_framing_of_an_answer_is_understood(data: bytes) -> None:
    def answer(transport: asyncio.Transport, _: bytes) -> None:
        transport.write(data)
        if b"close" in data or b"HTTP/1.0" in data:
            transport.close()

    async with serving(answer) as target:
        result = await _load(target, 100, is_right=lambda status, body: body == b"OK")
    assert result.requests
    assert result.errors == {}


async def test_answers_that_are_not_right_are_errors() -> None:
    async with serving(_answer_with(OK)) as target:
        result = await _load(target, 100, is_right=lambda status, body: body == b"else")
    assert result.errors == {"wrong answer": result.requests}


async def test_what_the_check_of_an_answer_raises_ends_the_load() -> None:
    async with serving(_answer_with(OK)) as target:
        with pytest.raises(ZeroDivisionError):
            await _load(target, 100, 60, is_right=lambda status, body: status / 0)


async def test_a_request_without_an_answer_is_an_error_in_the_end() -> None:
    async with serving(lambda transport, _: None) as target:
        result = await _load(target, 50, timeout_s=0.2, connections=2)
    assert result.errors == {"timed out": result.requests}


async def test_a_load_ends_as_soon_as_its_goal_is_lost() -> None:
    loop = asyncio.get_running_loop()
    async with serving(lambda transport, _: None) as target:
        started_s = loop.time()
        result = await _load(target, 200, 60, goal=LatencyGoal(0.05))
    assert result.is_given_up
    assert not result.holds(LatencyGoal(0.05))
    assert loop.time() - started_s < 30


async def test_clients_of_a_closed_loop_ask_again_when_they_have_their_answer() -> None:
    under_way = most = 0
    loop = asyncio.get_running_loop()

    def answer(transport: asyncio.Transport, data: bytes) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        loop.call_later(0.01, respond, transport)

    def respond(transport: asyncio.Transport) -> None:
        nonlocal under_way
        under_way -= 1
        transport.write(OK)

    async with serving(answer) as target:
        result = await run_load(target, REQUESTS, ClosedLoop(4), duration_s=0.2)
    assert most == 4
    assert result.requests > 12
    assert result.answers_per_s == pytest.approx(result.answered_in_time / 0.2)


async def test_a_unix_socket_is_a_target_too(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(lambda: Peer(_answer_with(OK)), path)
    result = await _load(Target(unix_path=path), 100)
    server.close()
    assert result.requests
    assert result.error_count == 0


async def test_where_nobody_listens_the_load_says_so_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(OSError):
            await _load(Target("127.0.0.1", taken.getsockname()[1]))


@pytest.mark.parametrize(
    "options",
    [
        {"duration_s": 0.0},
        {"duration_s": 1.0, "interval_s": 1e-9},
        {"duration_s": 1.0, "connections": 0},
    ],
)
async def test_a_load_that_makes_no_sense_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        await run_load(Target("127.0.0.1", 9), REQUESTS, ClosedLoop(1), **options)
