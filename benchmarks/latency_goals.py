"""Turns with real models: the highest rate of independent requests at which p99 keeps to a goal.

Requests come as those of many clients who do not know of each other (Poisson arrivals), and a latency counts from when
a request was due. So a server that falls behind is charged with all that waits meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable

import uvloop

from benchmarks import real_models
from benchmarks.cells import GOALS_MS, Cell
from benchmarks.http_client import HOST, wait_until
from benchmarks.server import Server
from benchmarks.visits import NotMeasured, Timing, check, processor_us, with_usage
from mms.load_test import (
    ClosedLoop,
    LatencyGoal,
    LoadRequest,
    LoadResult,
    PoissonArrivals,
    RateSearch,
    Schedule,
    Target,
    run_load,
)

_CONNECTIONS = 256
#: Clients of the closed loop that shows about how much the server can do.
_CLIENTS = 64
_TIMEOUT_S = 5.0
#: What is sent before a trial counts, as a share of its duration.
_WARM_UP = 0.25
#: A server works off what a lost trial has left behind.
_SETTLING_S = 20.0
#: The search begins below what the closed loop shows, as waiting for each other makes clients come in step.
_FIRST_RATE = 0.85
_GROWTH = 1.15
_PRECISION = 0.04
_MOST_TRIALS = 9


def visit_goals(
    server: Server, cell: Cell, timing: Timing, is_first: bool, on_progress: Callable[[str], None]
) -> dict[str, float]:
    """Check, find the highest rate for each goal and the p99 at half of it, check. The server has to be running."""
    trials = _Trials(server, cell, timing.duration_s, on_progress)
    first = server.peer.carry(cell.deployment, real_models.bodies(cell.deployment.work.kind)[0])
    check(server, first)
    if is_first:
        trials.run(ClosedLoop(_CLIENTS), timing.first_warm_up_s)
    capacity = trials.run(ClosedLoop(_CLIENTS), timing.duration_s).answers_per_s
    if not capacity:
        raise NotMeasured(
            f"{server.peer.title} answered no request in {timing.duration_s:g} s of load"
        )
    values = {"capacity_per_s": capacity}
    known: list[tuple[float, LoadResult]] = []
    for goal_ms in GOALS_MS:
        goal = LatencyGoal(goal_ms / 1000)
        best = trials.highest_rate(goal, capacity * _FIRST_RATE, known)
        values[f"rate_{goal_ms}ms"] = best
        if not best:
            continue
        with with_usage(server) as usage:
            half = trials.run(PoissonArrivals(best / 2), timing.duration_s)
        values[f"half_p50_{goal_ms}ms"] = half.percentile(0.5) * 1000
        values[f"half_p99_{goal_ms}ms"] = min(half.percentile(0.99), _TIMEOUT_S) * 1000
        values["errors"] = values.get("errors", 0) + half.error_count
        values["foreign_cores"] = usage.foreign_cores
        values |= processor_us(usage, half.requests * (1 + _WARM_UP))
    check(server, first)
    return values


class _Trials:
    """Loads of one server, one after the other."""

    def __init__(
        self, server: Server, cell: Cell, duration_s: float, on_progress: Callable[[str], None]
    ) -> None:
        self._server = server
        self._duration_s = duration_s
        self._on_progress = on_progress
        self._target = Target(HOST, server.site.port)
        self._seed = 0
        requests = [
            server.peer.carry(cell.deployment, body)
            for body in real_models.bodies(cell.deployment.work.kind)
        ]
        self._first = requests[0]
        self._requests = [
            LoadRequest(request.paths[0], request.body, request.headers) for request in requests
        ]

    def run(
        self, schedule: Schedule, duration_s: float, goal: LatencyGoal | None = None
    ) -> LoadResult:
        self._on_progress(f"{schedule!r}")
        try:
            return uvloop.run(
                run_load(
                    self._target,
                    self._requests,
                    schedule,
                    duration_s=duration_s,
                    warm_up_s=duration_s * _WARM_UP,
                    connections=_CONNECTIONS,
                    timeout_s=_TIMEOUT_S,
                    goal=goal,
                )
            )
        finally:
            # What is left of a load must not be in the way of the next one.
            wait_until(lambda: self._server.answers_rightly(self._first), _SETTLING_S)

    def highest_rate(
        self, goal: LatencyGoal, start: float, known: list[tuple[float, LoadResult]]
    ) -> float:
        """Return the highest rate at which the goal holds; 0: at none. What is `known` is not measured again."""
        start = max([start, *(rate for rate, result in known if result.holds(goal))])
        search = RateSearch(
            start,
            growth=_GROWTH,
            precision=_PRECISION,
            most_trials=_MOST_TRIALS + len(known),
            lowest=min(0.5, start),
        )
        for rate, result in known:
            # A load that was given up was lost for its own, shorter goal.
            if not result.is_given_up:
                search.observe(rate, result.holds(goal))
        while (proposed := search.next_rate()) is not None:
            self._seed += 1
            result = self.run(PoissonArrivals(proposed, self._seed), self._duration_s, goal)
            known.append((proposed, result))
            search.observe(proposed, result.holds(goal))
        return search.best
