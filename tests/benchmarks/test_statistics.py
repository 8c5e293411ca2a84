from __future__ import annotations

import pytest

from benchmarks.statistics import ratio, summarise


def test_a_cell_is_summarised_by_the_median_of_its_rounds() -> None:
    summary = summarise([100.0, 300.0, 110.0, 90.0, 105.0])
    assert summary.median == 105.0
    assert (summary.lowest, summary.highest, summary.rounds) == (90.0, 300.0, 5)


def test_the_spread_is_a_share_of_the_median() -> None:
    assert summarise([90.0, 100.0, 120.0]).spread == pytest.approx(0.3)


def test_a_median_of_zero_has_no_spread() -> None:
    assert summarise([0.0, 0.0, 3.0]).spread == 0.0


def test_no_rounds_cannot_be_summarised() -> None:
    with pytest.raises(ValueError, match="no rounds"):
        summarise([])


def test_the_ratio_is_of_the_medians() -> None:
    assert ratio(summarise([10.0, 30.0, 20.0]), summarise([10.0, 5.0, 1000.0])) == 2.0


def test_the_ratio_to_nothing_is_infinite() -> None:
    assert ratio(summarise([1.0]), summarise([0.0])) == float("inf")
