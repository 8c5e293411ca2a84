"""The gate: what a request costs the front is held to a baseline."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from benchmarks import gate
from benchmarks.driven_front import CONNECTIONS, KINDS, DrivenFront, Kind


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What the gate says. Its baseline is of one kind, which costs 2."""
    file = tmp_path / "baseline.json"
    file.write_text(json.dumps({gate.form(): {"one": 2.0}, "Another 1.0": {"one": 9.0}}))
    monkeypatch.setattr(gate, "BASELINE", file)
    return []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_request_of_a_driven_turn_has_its_good_answer_and_its_record(kind: Kind) -> None:
    async def answered() -> int:
        front = DrivenFront(kind)
        await front.start()
        front.turn()
        assert front.recorder.pending == 0
        counted = sum(
            front.recorder.aggregates.requests[key].count
            for key in front.recorder.aggregates.requests
        )
        assert counted == CONNECTIONS
        await front.close()
        return front.answered

    assert asyncio.run(answered()) == CONNECTIONS


@pytest.mark.parametrize(("cost", "passes"), [(1.5, True), (2.09, True), (2.11, False)])
def test_a_cost_more_than_five_per_cent_beyond_the_baseline_fails(
    told: list[str], cost: float, passes: bool
) -> None:
    assert gate.check(told.append, lambda: {"one": cost}) is passes


def test_what_one_busy_moment_costs_is_measured_again(told: list[str]) -> None:
    costs = iter((3.0, 2.5, 2.0))
    assert gate.check(told.append, lambda: {"one": next(costs)})
    assert told == ["one        100.0% of the baseline"]


def test_a_kind_that_costs_too_much_is_named(told: list[str]) -> None:
    assert not gate.check(told.append, lambda: {"one": 2.4})
    assert told == ["one        120.0% of the baseline  more than 105% of it"]


def test_a_python_without_a_baseline_is_told_how_to_get_one(
    told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "form", lambda: "Python 9.9")
    assert gate.check(told.append, lambda: {"one": 99.0})
    assert "Python 9.9" in told[0] and "--renew-baseline" in told[0]


def test_a_renewed_baseline_leaves_those_of_other_pythons(told: list[str]) -> None:
    costs = iter([3.0, 3.1, 9.0, 3.2, 2.9, 3.1, 3.0, 3.3, 3.1])
    gate.renew(told.append, lambda: {"one": next(costs)})
    kept = json.loads(gate.BASELINE.read_text())
    assert kept == {gate.form(): {"one": 3.1}, "Another 1.0": {"one": 9.0}}
