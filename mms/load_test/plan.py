"""What all loads of a test have in common: a server, requests, times."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mms.load_test.goal import LatencyGoal
from mms.load_test.requests import LoadRequest, Target
from mms.load_test.results import LoadResult
from mms.load_test.runner import run_load
from mms.load_test.schedules import ClosedLoop, Schedule

#: Requests that `ask` needs no more than a moment of schedule for.
_MOMENT_S = 1e-3
#: What is kept of an answer that is shown, in bytes.
_SHOWN_BYTES = 2000
#: A server works off what a lost trial has left behind.
_SETTLING_S = 10.0
_LOOK_S = 0.1
#: Points of a timeline, however long the load.
_MOST_INTERVALS = 300


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """What a request is answered with while there is no load. `status` 0: with nothing, and `problem` says why."""

    request: LoadRequest
    status: int
    body: bytes = b""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """A test of one server; its loads differ in when requests are due."""

    target: Target
    requests: Sequence[LoadRequest]
    duration_s: float = 10.0
    warm_up_s: float = 1.0
    connections: int = 256
    timeout_s: float = 20.0
    #: Once it is set, loads end with what has come until then.
    stop: asyncio.Event | None = None

    def is_stopped(self) -> bool:
        return self.stop is not None and self.stop.is_set()

    async def run(self, schedule: Schedule, goal: LatencyGoal | None = None) -> LoadResult:
        """Load the server once. With a goal the load ends as soon as that is lost. Raises OSError."""
        return await run_load(
            self.target,
            self.requests,
            schedule,
            duration_s=self.duration_s,
            warm_up_s=self.warm_up_s,
            connections=self.connections,
            timeout_s=self.timeout_s,
            goal=goal,
            interval_s=max(1.0, self.duration_s / _MOST_INTERVALS),
            stop=self.stop,
        )

    async def ask(self, request: LoadRequest) -> FirstAnswer:
        """Send one request alone. Raises OSError where nobody listens."""
        answers: list[FirstAnswer] = []

        def note(status: int, body: bytes) -> bool:
            answers.append(FirstAnswer(request, status, body[:_SHOWN_BYTES]))
            return True

        result = await run_load(
            self.target,
            [request],
            ClosedLoop(1),
            duration_s=_MOMENT_S,
            timeout_s=self.timeout_s,
            connections=1,
            is_right=note,
            stop=self.stop,
        )
        if answers:
            return answers[0]
        return FirstAnswer(request, 0, problem=next(iter(result.errors), "stopped"))

    async def settle(self, goal: LatencyGoal) -> None:
        """Return when the server answers one request as fast as the goal says again, or has not in ten seconds."""
        alone = replace(self, timeout_s=max(min(self.timeout_s, _SETTLING_S), goal.limit_s))
        until_s = time.monotonic() + _SETTLING_S
        while not self.is_stopped():
            begun_s = time.monotonic()
            answer = await alone.ask(self.requests[0])
            now = time.monotonic()
            # What `ask` itself takes is up to one sweep of the load.
            if (answer.status and now - begun_s <= goal.limit_s + _LOOK_S) or now > until_s:
                return
            await asyncio.sleep(_LOOK_S)
