"""A model version under traffic, in time that is only counted: its own decisions, with workers of a known cost."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import count

from mms.core import ModelConfig, ModelVersion, Pool, Request, WorkerState
from mms.core.request import Buffer
from mms.errors import ServerError
from mms.load_test import RateSearch

#: Takes the sizes of a batch's items, and returns what the batch takes, in seconds.
Cost = Callable[[Sequence[float]], float]
#: What a batch costs a worker besides its call, which the server does not see.
WAY_S = 0.0001
#: Draws the size of an item.
Size = Callable[[random.Random], float]


def one(_: random.Random) -> float:
    return 1.0


class _Clock:
    def __init__(self, warm_up: int) -> None:
        self.now = 0.0
        self._unseen = warm_up
        self.latencies: list[float] = []

    def answer(self, request: Request, *_: object) -> None:
        if self._unseen:
            self._unseen -= 1
        else:
            self.latencies.append(self.now - request.received_at)

    def fail(self, request: Request, error: ServerError) -> None:
        raise AssertionError(error)


_HEAD: tuple[int, bytes, bytes, Buffer] = (200, b"", b"", b"")


def arrivals(rate: float, generator: random.Random, burst: int = 1) -> Iterator[float]:
    """Yield times of Poisson arrivals; `burst`: so many come at once."""
    now = 0.0
    while True:
        now += generator.expovariate(rate / burst)
        for _ in range(burst):
            yield now


def play(
    config: ModelConfig,
    cost: Cost,
    rate: float,
    *,
    workers: int = 2,
    requests: int = 4000,
    size: Size = one,
    noise: float = 0.1,
    burst: int = 1,
    seed: int = 1,
    give_up_s: float = math.inf,
) -> list[float]:
    """Return the latencies of all but the first tenth of the requests in seconds, sorted.

    `noise`: of a batch's time, as a share of it.

    The list ends early where more than one in fifty took longer than `give_up_s`.
    """
    # Apart, so that each policy meets the same requests at the same times.
    arriving, generator, sized = (random.Random(seed + part) for part in (0, 1000, 2000))
    clock = _Clock(requests // 10)
    model = ModelVersion("m", None, config)
    for worker in Pool(model).scale(workers, workers)[0]:
        worker.state, worker.link, worker.ready_at = WorkerState.READY, object(), 1.0
        worker.batch_size = config.batch_size
    due = arrivals(rate, arriving, burst)
    sizes: dict[int, float] = {}
    free_at = [0.0] * workers
    order = count()
    # (time, number, worker that is done or None for an arrival, time in the entry point)
    events: list[tuple[float, int, object, float]] = [(next(due), next(order), None, 0.0)]
    made = late = 0
    while events:
        now, _, worker, took_s = heapq.heappop(events)
        clock.now = now
        if worker is None:
            made += 1
            request = Request(
                id=b"%d" % made, name="m", version=None, passes_query=False, content_type=b"", query=b"",
                headers=b"", body=b"", reply=clock, received_at=now, deadline=0.0,
            )  # fmt: skip
            sizes[id(request)] = size(sized)
            model.enqueue(request)
            if made < requests:
                at = next(due)
                heapq.heappush(events, (at, next(order), None, 0.0))
                if at == now:
                    continue
        elif worker is not model:
            batch = worker.in_flight[0]  # type: ignore[attr-defined]
            for request in batch.requests:
                late += now - request.received_at > give_up_s
                del sizes[id(request)]
                request.answer(*_HEAD)
            model.finish_head(worker, took_s, True, now)  # type: ignore[arg-type]
            if late > requests / 50:
                break
        for to, batch in model.dispatch(now):
            took_s = cost([sizes[id(request)] for request in batch.requests])
            took_s *= generator.lognormvariate(0.0, noise)
            # What is sent ahead begins when the batch before it is done.
            free_at[to.index] = max(now, free_at[to.index]) + took_s + WAY_S
            heapq.heappush(events, (free_at[to.index], next(order), to, took_s))
        if model.wake_at is not None:
            heapq.heappush(events, (model.wake_at, next(order), model, 0.0))
    return sorted(clock.latencies)


def highest_rate(
    config: ModelConfig,
    cost: Cost,
    goal_s: float,
    start: float,
    *,
    precision: float = 0.02,
    **options: object,
) -> float:
    """Return the highest rate at which 99 of 100 requests are answered within the goal."""
    requests = int(options.pop("requests", 4000))  # type: ignore[call-overload]
    search = RateSearch(start, precision=precision, growth=1.3, lowest=0.01)
    while (rate := search.next_rate()) is not None:
        # Long against the goal: a server that falls behind is to be seen to.
        many = max(requests, int(rate * goal_s * 40))
        latencies = play(config, cost, rate, requests=many, give_up_s=goal_s, **options)  # type: ignore[arg-type]
        in_time = sum(latency <= goal_s for latency in latencies)
        search.observe(rate, in_time >= 0.99 * (many - many // 10))
    return search.best
