from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.goals import GOALS, Goal, against, alone, between, inverse, within
from benchmarks.records import Records, Visit


@pytest.fixture
def records(tmp_path: Path) -> Records:
    records = Records(tmp_path)
    for peer, rate, p50, p99 in (("ours", 3000.0, 1.0, 2.0), ("mosec", 1000.0, 4.0, 9.0)):
        values = {"requests_per_s": rate, "p50_ms": p50, "p99_ms": p99}
        records.add(Visit("b1-c64", peer, 0, values))
    records.add(Visit("b1-c1000", "ours", 0, {"requests_per_s": 2700.0}))
    return records


def test_figures_are_set_against_peers_cells_and_each_other(records: Records) -> None:
    assert against("b1-c64", "requests_per_s", "mosec")(records) == 3.0
    assert inverse(against("b1-c64", "p50_ms", "mosec"))(records) == 4.0
    assert between("b1-c1000", "b1-c64", "requests_per_s")(records) == pytest.approx(0.9)
    assert within("b1-c64", "p99_ms", "p50_ms")(records) == 2.0
    assert alone("b1-c64", "p99_ms")(records) == 2.0


def test_a_figure_that_is_not_there_is_not_measured(records: Records) -> None:
    measure = against("b1-c64", "requests_per_s", "triton")
    assert measure(records) is None
    assert Goal("b1-c64", "", measure, 1.0).verdict(None) == "not measured"


@pytest.mark.parametrize(
    ("value", "is_at_least", "verdict"),
    [
        (2.0, True, "aim reached"),
        (1.5, True, "held"),
        (1.49, True, "missed"),
        (1.5, False, "held"),
        (1.0, False, "aim reached"),
        (1.51, False, "missed"),
    ],
)
def test_a_value_is_judged_by_bound_and_aim(value: float, is_at_least: bool, verdict: str) -> None:
    aim = 2.0 if is_at_least else 1.0
    goal = Goal("b1-c64", "", lambda _: value, 1.5, aim, is_at_least)
    assert goal.verdict(value) == verdict


def test_an_empty_run_measures_no_goal(tmp_path: Path) -> None:
    records = Records(tmp_path)
    assert {goal.verdict(goal.measure(records)) for goal in GOALS} == {"not measured"}
