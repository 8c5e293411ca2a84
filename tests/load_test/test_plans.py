"""Loads of one plan: stopped early, and searched for the highest rate."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from mms.load_test import (
    ClosedLoop,
    LatencyGoal,
    LoadPlan,
    LoadRequest,
    LoadResult,
    PoissonArrivals,
    Schedule,
    Target,
    find_highest_rate,
)
from mms.load_test.plan import FirstAnswer


async def _serve(port_of: list[int]) -> asyncio.Server:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            while (await reader.readline()).strip():
                pass
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port_of.append(server.sockets[0].getsockname()[1])
    return server


async def test_a_load_that_is_stopped_has_what_came_until_then() -> None:
    ports: list[int] = []
    server = await _serve(ports)
    stop = asyncio.Event()
    plan = LoadPlan(
        Target("127.0.0.1", ports[0]),
        [LoadRequest("/", method="GET")],
        duration_s=600.0,
        warm_up_s=0.0,
        stop=stop,
    )
    asyncio.get_running_loop().call_later(0.2, stop.set)
    for schedule in (PoissonArrivals(200), ClosedLoop(2)):
        begun_s = time.monotonic()
        result = await plan.run(schedule)
        assert result.is_stopped
        assert result.duration_s < time.monotonic() - begun_s < 60
        assert result.latencies.count == result.requests
        assert result.error_count == 0
        assert len(result.timeline) <= 1
    assert await replace(plan, stop=None).ask(plan.requests[0]) == FirstAnswer(
        plan.requests[0], 200, b"OK"
    )
    server.close()


class _Simulated(LoadPlan):
    """A server that keeps to any goal up to 70 requests a second."""

    async def run(self, schedule: Schedule, goal: LatencyGoal | None = None) -> LoadResult:
        result = LoadResult(1.0, requests=100)
        rate = getattr(schedule, "rate", None)
        for _ in range(100):
            result.latencies.record(0.5 if rate is not None and rate > 70 else 0.01)
        result.answered_in_time = 100
        return result

    async def settle(self, goal: LatencyGoal) -> None:
        pass


async def test_the_search_comes_within_five_per_cent_of_the_highest_rate() -> None:
    plan = _Simulated(Target("127.0.0.1", 1), [LoadRequest("/")])
    told: list[float] = []
    found = await find_highest_rate(
        plan, LatencyGoal(0.05), PoissonArrivals, lambda trial: told.append(trial.rate)
    )
    assert found.is_complete
    assert found.capacity_per_s == 100
    assert found.best is not None
    assert 70 / 1.05 <= found.best.rate <= 70
    assert told == [trial.rate for trial in found.trials]
