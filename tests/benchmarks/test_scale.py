"""The fleets on paper: formulas against the simulation, and where models' requests go."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.scale.formulas import (
    Fleet,
    erlang_c,
    mean_wait_s,
    misses_anywhere,
    popularity,
)
from benchmarks.scale.placement import AnyNode, BoundedHashing, Hashing
from benchmarks.scale.simulation import simulate


def test_one_core_waits_as_the_formula_for_one_server_says() -> None:
    # M/M/1: the wait is the utilisation by what is left of it, in times of service.
    assert mean_wait_s(1, 60, 0.01) == pytest.approx(0.6 / 0.4 * 0.01)
    assert erlang_c(1, 0.6) == pytest.approx(0.6)
    assert mean_wait_s(4, 400, 0.01) == float("inf")


def test_the_simulation_waits_as_long_as_the_formula_says() -> None:
    fleet = Fleet(1, models=1, cores=2, utilisation=0.7)
    waits = simulate(fleet, AnyNode(1), 200.0).waits
    assert sum(waits) / len(waits) == pytest.approx(
        mean_wait_s(fleet.cores, fleet.rate, fleet.service_s), rel=0.15
    )


def test_the_simulation_misses_as_often_as_the_formula_says() -> None:
    fleet = Fleet(2, models=500, hot=50, utilisation=0.2, load_s=0.001)
    outcome = simulate(fleet, AnyNode(2), 60.0)
    expected = misses_anywhere(popularity(fleet.models, fleet.zipf), fleet.hot)
    assert outcome.miss_share == pytest.approx(expected, rel=0.1)


def test_a_model_keeps_its_node_when_another_one_goes() -> None:
    ring, running = Hashing(10), [0] * 10
    before = {model: ring.choose(model, running) for model in range(500)}
    running[3] = -1
    after = {model: ring.choose(model, running) for model in range(500)}
    assert {m for m in before if before[m] != after[m]} == {m for m in before if before[m] == 3}


def test_no_node_gets_a_quarter_more_than_its_share_however_popular_a_model_is() -> None:
    ring, running = BoundedHashing(10), [0] * 10
    for _ in range(1000):
        running[ring.choose(0, running)] += 1
        ring.note(1, 10)
    assert max(running) <= 1.25 * 1000 / 10 + 1
    # Eight nodes hold all of it, and the others are left to other models.
    assert Counter(running)[0] == 2
