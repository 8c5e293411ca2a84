"""Sends requests when they are due, and notes what comes of them."""

from __future__ import annotations

import asyncio
import gc
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from mms.load_test.alarm import Alarm
from mms.load_test.connection import LoadConnection
from mms.load_test.goal import LatencyGoal
from mms.load_test.requests import LoadRequest, Target
from mms.load_test.results import (
    NOT_CONNECTED,
    TIMED_OUT,
    WRONG_ANSWER,
    Interval,
    LoadResult,
)
from mms.load_test.schedules import ClosedLoop, Schedule

_FIRST_ERROR_STATUS = 400
#: How often requests are looked for that take too long.
_SWEEP_S = 0.05
#: A client of a closed loop asks again so much later after an error: a server that is not there is no busy loop.
_PAUSE_S = 0.05
#: How long connections have to end.
_CLOSING_S = 5.0
_MOST_INTERVALS = 100_000
#: Requests that are sent before the loop looks for answers again, however many are due.
_MOST_AT_ONCE = 64

IsRight = Callable[[int, bytes], bool]
"""Takes the status and the body of an answer, and returns whether it is a right one."""


async def run_load(
    target: Target,
    requests: Sequence[LoadRequest],
    schedule: Schedule,
    *,
    duration_s: float,
    warm_up_s: float = 0.0,
    connections: int = 256,
    timeout_s: float = 20.0,
    is_right: IsRight | None = None,
    goal: LatencyGoal | None = None,
    interval_s: float = 1.0,
    stop: asyncio.Event | None = None,
) -> LoadResult:
    """Load a server for `warm_up_s` and `duration_s` seconds, and return what came of the latter.

    `requests` are sent in turn. `connections`: how many are opened at most; a request that finds none free waits for
    one, and its latency counts on. `timeout_s`: an answer that comes later, counted from when its request was due, is
    an error. `is_right`: without it, each status below 400 is right; what it raises ends the load. `goal`: the load
    ends as soon as it cannot be held any more. `interval_s`: the length of the pieces of the timeline. `stop`: once it
    is set, the load ends with what has come until then.
    Raises OSError where nobody listens.
    """
    load = _Load(
        target,
        requests,
        schedule,
        duration_s,
        warm_up_s,
        connections,
        timeout_s,
        is_right,
        goal,
        interval_s,
        stop,
    )
    with _without_collections():
        return await load.run()


class _Load:
    def __init__(
        self,
        target: Target,
        requests: Sequence[LoadRequest],
        schedule: Schedule,
        duration_s: float,
        warm_up_s: float,
        connections: int,
        timeout_s: float,
        is_right: IsRight | None,
        goal: LatencyGoal | None,
        interval_s: float,
        stop: asyncio.Event | None,
    ) -> None:
        if not requests:
            raise ValueError("There is no request to send")
        if duration_s <= 0 or warm_up_s < 0 or timeout_s <= 0 or connections < 1:
            raise ValueError(
                "Durations and timeouts are more than 0 seconds, connections at least 1"
            )
        if interval_s <= 0 or duration_s / interval_s > _MOST_INTERVALS:
            raise ValueError(f"The timeline has at most {_MOST_INTERVALS:,} intervals")
        self._target = target
        self._payloads = [request.encode(target) for request in requests]
        self._schedule = schedule
        self._is_closed_loop = isinstance(schedule, ClosedLoop)
        self._most_connections = connections
        if isinstance(schedule, ClosedLoop):
            self._most_connections = max(connections, schedule.clients)
        self._timeout_s = timeout_s
        self._is_right = is_right
        self._goal = goal
        self._stop = stop
        self._allowed_late = _allowed_late(goal, schedule, duration_s)
        self.result = LoadResult(duration_s, interval_s)
        intervals = math.ceil(duration_s / interval_s)
        self.result.timeline.extend(Interval() for _ in range(intervals))
        self._duration_s, self._warm_up_s = duration_s, warm_up_s
        self._loop = asyncio.get_running_loop()
        self._sent = 0
        self._late = 0
        self._waiting: deque[float] = deque()
        self._idle: list[LoadConnection] = []
        self._open: set[LoadConnection] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        #: What came out of `is_right`.
        self._fault: Exception | None = None
        self._is_over = False
        self._changed = asyncio.Event()

    async def run(self) -> LoadResult:
        await self._open_first()
        self._times = self._schedule.times()
        self._start_s = time.perf_counter()
        self._first_s = self._start_s + self._warm_up_s
        self._end_s = self._first_s + self._duration_s
        self._next_due_s: float | None = None
        self._advance()
        self._alarm = Alarm(self._loop, self._tick)
        sweep = self._loop.create_task(self._sweep())
        try:
            self._tick()
            await sweep
        finally:
            self._is_over = True
            sweep.cancel()
            self._alarm.close()
            await self._close_all()
        return self.result

    async def _open_first(self) -> None:
        """One connection shows whether anybody is there. Raises OSError."""
        self._idle.append(await self._connect())

    # Requests out

    def _advance(self) -> None:
        """Have the next time of the schedule be due; none after the end."""
        offset = next(self._times, None)
        due_s = None if offset is None else self._start_s + offset
        self._next_due_s = None if due_s is None or due_s >= self._end_s else due_s

    def _tick(self) -> None:
        if self._is_over:
            return
        for _ in range(_MOST_AT_ONCE):
            if self._next_due_s is None:
                return
            now = time.perf_counter()
            if self._next_due_s > now:
                break
            self._issue(self._next_due_s, now)
            self._advance()
        if self._next_due_s is not None:
            self._alarm.set(self._next_due_s - time.perf_counter())

    def _issue(self, due_s: float, now: float) -> None:
        if due_s >= self._first_s:
            self.result.requests += 1
        while self._idle:
            connection = self._idle.pop()
            if connection.is_reusable:
                if due_s >= self._first_s:
                    self.result.lateness.record(now - due_s)
                self._send(connection, due_s)
                return
        self._waiting.append(due_s)
        if len(self._open) + len(self._connecting) < self._most_connections:
            task = self._loop.create_task(self._connect_for_waiting())
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    def _send(self, connection: LoadConnection, due_s: float) -> None:
        payload = self._payloads[self._sent % len(self._payloads)]
        self._sent += 1
        connection.send(payload, due_s)

    async def _connect(self) -> LoadConnection:
        def make() -> LoadConnection:
            return LoadConnection(
                self._on_start, self._on_answer, self._on_end, self._is_right is not None
            )

        target = self._target
        if target.unix_path:
            opening = self._loop.create_unix_connection(
                make,
                target.unix_path,
                ssl=target.tls,
                server_hostname="localhost" if target.tls else None,
            )
            _, connection = await opening
        else:
            _, connection = await self._loop.create_connection(
                make, target.host, target.port, ssl=target.tls
            )
        return connection

    async def _connect_for_waiting(self) -> None:
        try:
            connection = await asyncio.wait_for(self._connect(), self._timeout_s)
        except (OSError, asyncio.TimeoutError):
            if self._waiting:
                self._fail(self._waiting.popleft(), NOT_CONNECTED)
            return
        self._use(connection)

    def _use(self, connection: LoadConnection) -> None:
        """Give a connection that is free to the request that waits for longest."""
        if self._is_over or not connection.is_reusable:
            return
        if self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._idle.append(connection)

    # Answers

    def _on_start(self, connection: LoadConnection) -> None:
        self._open.add(connection)
        self.result.most_connections = max(self.result.most_connections, len(self._open))
        if self._is_over:
            # Its task was cancelled when it was all but there.
            connection.abort()

    def _on_answer(self, connection: LoadConnection, status: int, body: bytes) -> None:
        now = time.perf_counter()
        due_s = connection.due_s
        is_right = self._check(status, body)
        if due_s >= self._first_s and not self._is_over:
            self.result.statuses[status] += 1
        if is_right:
            self._note(due_s, connection.sent_s, now)
        else:
            self._fail(due_s, str(status) if status >= _FIRST_ERROR_STATUS else WRONG_ANSWER)
        self._use(connection)
        if self._is_closed_loop and is_right and now < self._end_s and not self._is_over:
            self._issue(now, now)

    def _check(self, status: int, body: bytes) -> bool:
        if self._is_right is None:
            return status < _FIRST_ERROR_STATUS
        try:
            return self._is_right(status, body)
        except Exception as error:
            self._fault = error
            return False

    def _on_end(self, connection: LoadConnection, problem: str) -> None:
        self._open.discard(connection)
        self.result.received_bytes += connection.received_bytes
        if connection.is_busy and not self._is_over:
            connection.is_busy = False
            self._fail(connection.due_s, problem)
        if self._waiting and not self._is_over and len(self._open) < self._most_connections:
            task = self._loop.create_task(self._connect_for_waiting())
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)
        if not self._open:
            self._changed.set()

    def _note(self, due_s: float, sent_s: float, now: float) -> None:
        if self._is_over:
            return
        self.result.answered_in_time += self._first_s <= now <= self._end_s
        if due_s < self._first_s:
            return
        latency_s = now - due_s
        self.result.latencies.record(latency_s)
        self.result.service_times.record(now - sent_s)
        self._interval(due_s).latencies.record(latency_s)
        if self._goal is not None and latency_s > self._goal.limit_s:
            self._late += 1

    def _fail(self, due_s: float, kind: str) -> None:
        if due_s >= self._first_s and not self._is_over:
            self.result.errors[kind] += 1
            self._interval(due_s).errors += 1
            self._late += 1
        if self._is_closed_loop:
            self._loop.call_later(_PAUSE_S, self._ask_again)

    def _ask_again(self) -> None:
        now = time.perf_counter()
        if now < self._end_s and not self._is_over:
            self._issue(now, now)

    def _interval(self, due_s: float) -> Interval:
        timeline = self.result.timeline
        number = int((due_s - self._first_s) / self.result.interval_s)
        return timeline[min(number, len(timeline) - 1)]

    # The end

    async def _sweep(self) -> None:
        """Return when everything that was due has its end, or the goal is lost."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            if self._fault is not None:
                raise self._fault
            now = time.perf_counter()
            self._end_those_that_take_too_long(now)
            if self._stop is not None and self._stop.is_set():
                self._cut(now)
                return
            if self._is_goal_lost(now):
                self.result.is_given_up = True
                return
            is_busy = bool(self._waiting) or any(each.is_busy for each in self._open)
            if now >= self._end_s and self._next_due_s is None and not is_busy:
                return

    def _cut(self, now: float) -> None:
        """Have the load be one that was to end now. Requests under way are none of it."""
        # Nothing more is sent, nor counted, while what is open is closed.
        self._is_over = True
        result = self.result
        result.is_stopped = True
        result.duration_s = max(min(now, self._end_s) - self._first_s, 0.0)
        del result.timeline[math.ceil(result.duration_s / result.interval_s) :]
        result.requests = result.latencies.count + result.error_count

    def _end_those_that_take_too_long(self, now: float) -> None:
        latest_s = now - self._timeout_s
        while self._waiting and self._waiting[0] < latest_s:
            self._fail(self._waiting.popleft(), TIMED_OUT)
        for connection in list(self._open):
            if connection.is_busy and connection.due_s < latest_s:
                connection.is_busy = False
                connection.abort()
                self._fail(connection.due_s, TIMED_OUT)

    def _is_goal_lost(self, now: float) -> bool:
        if self._goal is None:
            return False
        latest_s = now - self._goal.limit_s
        pending = 0
        for due_s in self._waiting:
            if due_s >= latest_s:
                break
            pending += due_s >= self._first_s
        pending += sum(
            each.is_busy and self._first_s <= each.due_s < latest_s for each in self._open
        )
        return self._late + pending > self._allowed_late

    async def _close_all(self) -> None:
        for task in list(self._connecting):
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        for connection in list(self._open):
            connection.abort()
        deadline_s = time.perf_counter() + _CLOSING_S
        while self._open and (left_s := deadline_s - time.perf_counter()) > 0:
            self._changed.clear()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left_s)


def _allowed_late(goal: LatencyGoal | None, schedule: Schedule, duration_s: float) -> float:
    """Return how many late answers show that the goal cannot be held, however many requests come by chance."""
    rate = getattr(schedule, "rate", None)
    if goal is None or rate is None:
        return math.inf
    expected = rate * duration_s
    return float((1 - goal.share) * (expected + 4 * math.sqrt(expected)) + 1)


@contextmanager
def _without_collections() -> Iterator[None]:
    """Keep the garbage collector out of the measurement: its pauses would be the server's latencies."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
