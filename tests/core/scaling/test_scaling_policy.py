"""Scaling by load, simulated: how long requests wait under traffic of each kind, and how often workers come and go."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from mms.core.scaling.load_sample import LoadSample
from mms.core.scaling.policy import (
    DOWN,
    LIMITED,
    UP,
    Allowance,
    ScalingDecision,
    ScalingPolicy,
    ScalingTarget,
)
from mms.core.scaling.queueing import late_share, workers_for

from .traffic import Outcome, poisson, simulate

TARGET = ScalingTarget(min_workers=1, max_workers=40, delay_s=0.1)


def _exponential(chance: random.Random, _: int) -> float:
    return chance.expovariate(1 / 0.05)


def _constant(_: random.Random, __: int) -> float:
    return 0.05


def _slow_first(chance: random.Random, worker: int) -> float:
    return (0.5 if worker == 0 else 0.05) * chance.uniform(0.8, 1.2)


def _burst(now: float) -> float:
    return 100.0 if now % 40 < 8 else 10.0


def _day(now: float) -> float:
    return 40.0 - 35.0 * math.cos(now / 900 * 2 * math.pi)


def _step(now: float) -> float:
    return 10.0 if now < 200 else 80.0


def _constant_rate(_: float) -> float:
    return 40.0


def _run(
    rate: Callable[[float], float], most: float, until_s: float, seed: int, **more: object
) -> Outcome:
    service = more.pop("service", _exponential)
    target = more.pop("target", TARGET)
    return simulate(poisson(rate, most, until_s, seed), target, service, **more)  # type: ignore[arg-type]


TRAFFIC = {
    # The first burst finds one worker; its requests are a share of all.
    "bursts": (_burst, 100.0, 1200.0, {}),
    "the curve of a day": (_day, 75.0, 900.0, {}),
    "a step": (_step, 80.0, 600.0, {}),
    "a steady load": (_constant_rate, 40.0, 600.0, {}),
    "a steady load of equal requests": (_constant_rate, 40.0, 600.0, {"service": _constant}),
    "one slow worker": (_constant_rate, 40.0, 600.0, {"service": _slow_first}),
}


@pytest.mark.parametrize("name", TRAFFIC)
def test_99_of_100_requests_wait_no_longer_than_twice_the_target(name: str, is_full: bool) -> None:
    rate, most, until_s, more = TRAFFIC[name]
    for seed in (1, 2) if is_full else (1,):
        outcome = _run(rate, most, until_s, seed, **more)
        assert outcome.p99_s <= 2 * TARGET.delay_s, (seed, outcome.decisions)
        # By reason, and not by starting all that may be: Erlang's formula asks for 15 at the highest of these loads.
        assert outcome.most_workers <= 20, seed


@pytest.mark.parametrize("service", [_exponential, _constant, _slow_first])
def test_at_a_steady_load_workers_go_and_come_again_at_most_once_a_minute(
    service: Callable[[random.Random, int], float], is_full: bool
) -> None:
    for seed in range(4 if is_full else 1):
        turns = _run(_constant_rate, 40.0, 600.0, seed, service=service).turns()
        for first in turns:
            assert sum(first <= at < first + 60 for at in turns) <= 2, (seed, turns)


def _late_of_each_burst(every_s: float, bursts: int) -> list[float]:
    """The 99th percentile of the waits in bursts of eight seconds, each at the end of such a time."""
    arrivals = list(
        poisson(
            lambda now: 100.0 if now % every_s >= every_s - 8 else 10.0, 100.0, every_s * bursts, 3
        )
    )
    outcome = simulate(iter(arrivals), TARGET, _exponential)
    waits: list[list[float]] = [[] for _ in range(bursts)]
    for at, delay_s in zip(arrivals, outcome.delays, strict=False):
        if at % every_s >= every_s - 8:
            waits[int(at // every_s)].append(delay_s)
    return [sorted(each)[math.ceil(len(each) * 0.99) - 1] for each in waits if each]


def test_a_burst_that_comes_back_within_five_minutes_finds_its_workers() -> None:
    first, *others = _late_of_each_burst(180.0, 3)
    assert first > 2 * TARGET.delay_s
    assert max(others) <= 2 * TARGET.delay_s


def test_bursts_that_come_back_after_more_than_that_are_waited_for() -> None:
    assert _late_of_each_burst(600.0, 4)[-1] <= 2 * TARGET.delay_s


# Single decisions


def _sample(at: float, **members: object) -> LoadSample:
    usual = {
        "workers": 1,
        "coming": 0,
        "busy": 0,
        "waiting": 0,
        "running": 0,
        "arrived": 0,
        "delay_s": 0.0,
    }
    return LoadSample(at=at, **{**usual, **members})  # type: ignore[arg-type]


def _no_limit() -> Allowance:
    return Allowance(1000, "nobody")


def _one_cpu() -> Allowance:
    return Allowance(1, "1 CPU can serve")


def _overloaded(at: float, workers: int = 1) -> LoadSample:
    """Thirty requests a second of a tenth of a second each, which one worker cannot serve."""
    arrived = int(at * 30)
    waiting = arrived - int(at * 10)
    return _sample(
        at,
        workers=workers,
        busy=1,
        running=1,
        waiting=waiting,
        arrived=arrived,
        delay_s=waiting / 30,
    )


def _decide(
    policy: ScalingPolicy,
    target: ScalingTarget,
    until_s: float,
    limit: Callable[[], Allowance] = _no_limit,
) -> list[ScalingDecision]:
    looks = (policy.decide(_overloaded(at / 4), target, limit) for at in range(int(until_s * 4)))
    return [decision for decision in looks if decision is not None]


def test_erlangs_formula_agrees_with_his_table() -> None:
    assert late_share(10, 8.0, 1.0, 0.0) == pytest.approx(0.409, abs=0.001)
    assert late_share(2, 1.0, 1.0, 0.0) == pytest.approx(1 / 3)
    assert workers_for(8.0, 1.0, 0.0, 0.41, 100) == 10


def test_nothing_is_decided_where_the_maximum_is_the_minimum_or_nothing_is_aimed_at() -> None:
    for target in (ScalingTarget(1, 1, 0.1, 1.0), ScalingTarget(1, 4)):
        assert _decide(ScalingPolicy(), target, 5) == []


def test_a_limit_is_told_once_a_minute_with_its_reason() -> None:
    policy = ScalingPolicy()
    [first, second] = _decide(policy, TARGET, 70, limit=_one_cpu)
    assert first.kind == LIMITED and first.before == first.after == 1
    assert first.reason.endswith("no more than 1 CPU can serve")
    assert second.at - first.at >= 60
    assert policy.counts == {UP: 0, DOWN: 0, LIMITED: 2}


def test_more_workers_come_step_by_step_while_little_is_known() -> None:
    policy = ScalingPolicy()
    first = _decide(policy, TARGET, 3)[0]
    assert (first.kind, first.before) == (UP, 1)
    assert first.after <= 3


def _wants(policy: ScalingPolicy, workers: int, now: float) -> int:
    """Play a look at a model that has two workers and wants so many. Return how many it has then."""
    policy.wanted = workers
    policy._remember(now)
    sample = _sample(now, workers=4)
    policy._same_since = 0.0
    decision = policy._shrink(sample)
    return 4 if decision is None else decision.after


def test_workers_of_a_burst_that_has_come_back_once_are_kept_for_the_next_time_and_then_let_go() -> (
    None
):
    policy = ScalingPolicy()
    found = {}
    for now in range(4000):
        is_burst = now in (0, 600)
        found[now] = _wants(policy, 4 if is_burst else 1, float(now))
    assert found[300] == 4 and found[301] == 1
    # It took ten minutes; a quarter more is waited for.
    assert found[600 + 750] == 4 and found[600 + 751] == 1
    _wants(policy, 4, 4000.0)
    assert _wants(policy, 1, 4302.0) == 1


def test_an_idle_model_goes_to_its_minimum_when_its_time_is_over() -> None:
    policy, target = ScalingPolicy(), ScalingTarget(0, 4, 0.0, idle_ttl_s=10.0)
    looks = [policy.decide(_sample(at / 4, workers=3), target, _no_limit) for at in range(60)]
    [rest] = [decision for decision in looks if decision is not None][:1]
    assert (rest.kind, rest.before, rest.after, rest.at) == (DOWN, 3, 0, 10.0)
    assert rest.reason == "no request for 10 seconds"


def test_what_a_user_has_scaled_up_by_hand_stays_for_five_minutes() -> None:
    policy = ScalingPolicy()
    for at in range(40 * 4):
        assert policy.decide(_sample(at / 4, workers=1, arrived=at), TARGET, _no_limit) is None
    policy.restart()
    decided = [
        policy.decide(_sample(at / 4, workers=6, arrived=at), TARGET, _no_limit)
        for at in range(40 * 4, 350 * 4)
    ]
    first = next(decision for decision in decided if decision is not None)
    assert first.kind == DOWN
    assert first.at == 340


def test_a_model_that_slept_for_an_hour_is_not_taken_for_busy_all_the_time() -> None:
    policy = ScalingPolicy()
    policy.decide(_sample(0.0, busy=1, running=1, arrived=1), TARGET, _no_limit)
    policy.decide(_sample(3600.0, busy=1, running=1, arrived=2), TARGET, _no_limit)
    assert policy.estimate.cost_s < 1.0
