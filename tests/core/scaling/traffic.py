"""A model version under generated traffic, with real queues and decisions; only time and workers are played."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from mms.core import ModelConfig, ModelVersion, Pool, Request, Worker, WorkerState
from mms.core.request import Buffer
from mms.core.scaling.load_sample import sample_load
from mms.core.scaling.policy import (
    DOWN,
    UP,
    Allowance,
    ScalingDecision,
    ScalingPolicy,
    ScalingTarget,
)
from mms.errors import ServerError

#: As the server looks.
LOOK_S = 0.25


class _Reply:
    def answer(self, *_: object) -> None:
        return

    def fail(self, request: Request, error: ServerError) -> None:
        raise AssertionError(f"a request of the simulation failed: {error}")

    def give_up(self) -> None:
        return


_REPLY = _Reply()
_BODY: Buffer = b""


@dataclass
class Outcome:
    delays: list[float] = field(default_factory=list)
    decisions: list[ScalingDecision] = field(default_factory=list)
    most_workers: int = 0

    @property
    def p99_s(self) -> float:
        return sorted(self.delays)[math.ceil(len(self.delays) * 0.99) - 1]

    def turns(self) -> list[float]:
        """When the number of workers, which had been moving in one direction, began to move in the other."""
        moves = [d for d in self.decisions if d.kind in (UP, DOWN)]
        return [b.at for a, b in itertools.pairwise(moves) if a.kind != b.kind]


def poisson(
    rate: Callable[[float], float], most: float, until_s: float, seed: int
) -> Iterator[float]:
    """Arrivals at a rate that changes with time; `most`: it never exceeds."""
    chance = random.Random(seed)
    now = 0.0
    while (now := now + chance.expovariate(most)) < until_s:
        if chance.random() * most < rate(now):
            yield now


def simulate(
    arrivals: Iterator[float],
    target: ScalingTarget,
    service: Callable[[random.Random, int], float],
    *,
    start_s: float = 0.5,
    batch_size: int = 1,
    allowed: int = 1000,
    seed: int = 7,
) -> Outcome:
    """Run traffic through a model. `service`: how long the worker of a number takes for a batch, in seconds."""
    chance = random.Random(seed)
    model = ModelVersion(
        "m", None, ModelConfig(batch_size=batch_size, queue_capacity=10**6, batch_policy="adaptive")
    )
    pool, policy, outcome = Pool(model), ScalingPolicy(), Outcome()
    numbers = itertools.count()
    events: list[tuple[float, int, str, Worker | None]] = []

    def after(at: float, kind: str, worker: Worker | None = None) -> None:
        heapq.heappush(events, (at, next(numbers), kind, worker))

    def run(worker: Worker, now: float) -> None:
        after(now + service(chance, worker.index), "done", worker)

    def dispatch(now: float) -> None:
        for worker, batch in model.dispatch(now):
            if worker.in_flight[0] is batch:
                run(worker, now)
            outcome.delays += [now - request.received_at for request in batch.requests]
        if model.wake_at is not None:
            after(model.wake_at, "wake")

    def start(worker: Worker, at: float) -> None:
        after(at + start_s, "ready", worker)

    for worker in pool.scale(target.min_workers, target.max_workers)[0] or pool.grow(1):
        start(worker, 0.0)
    first = next(arrivals, None)
    if first is not None:
        after(first, "arrival")
    after(0.0, "look")
    while events:
        now, _, kind, worker = heapq.heappop(events)
        if kind == "arrival":
            model.enqueue(Request(b"", "m", None, False, b"", b"", b"", _BODY, _REPLY, now))
            dispatch(now)
            following = next(arrivals, None)
            if following is None:
                break
            after(following, "arrival")
        elif kind == "ready" and worker is not None and worker.state is WorkerState.STARTING:
            worker.state, worker.link, worker.ready_at = WorkerState.READY, worker, now
            dispatch(now)
        elif kind == "wake":
            dispatch(now)
        elif kind == "done" and worker is not None:
            took_s = now - worker.head_since
            for request in worker.in_flight[0].requests:
                request.answer(200, b"", b"", b"")
            model.finish_head(worker, took_s, True, now)
            if worker.in_flight:
                run(worker, now)
            if worker.state is WorkerState.DRAINING and not worker.in_flight:
                pool.remove(worker)
            dispatch(now)
        elif kind == "look":
            decision = policy.decide(
                sample_load(model, now), target, lambda: Allowance(allowed, "the machine allows")
            )
            if decision is not None:
                outcome.decisions.append(decision)
                if decision.kind == UP:
                    for added in pool.grow(decision.after - decision.before):
                        start(added, now)
                elif decision.kind == DOWN:
                    for surplus in pool.shrink(decision.after):
                        if not surplus.in_flight:
                            pool.remove(surplus)
                dispatch(now)
            outcome.most_workers = max(outcome.most_workers, len(pool.active))
            after(now + LOOK_S, "look")
    return outcome
