"""The search for the highest rate at which a goal holds, on servers whose limit is known."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from mms.load_test import RateSearch


def _play(search: RateSearch, holds: Callable[[float], bool]) -> RateSearch:
    while (rate := search.next_rate()) is not None:
        search.observe(rate, holds(rate))
        assert len(search.trials) < 100
    return search


@pytest.mark.parametrize("limit", [0.5, 3, 99, 101, 480, 25_000])
@pytest.mark.parametrize("start", [1, 100, 5_000])
def test_the_search_ends_within_its_precision_below_the_limit(limit: float, start: float) -> None:
    search = _play(RateSearch(start, precision=0.05), lambda rate: rate <= limit)
    assert limit / 1.05 <= search.best <= limit


def test_a_good_guess_takes_few_measurements() -> None:
    search = _play(RateSearch(95, precision=0.05, growth=1.2), lambda rate: rate <= 100)
    assert len(search.trials) <= 4


def test_a_server_that_holds_at_no_rate_ends_the_search() -> None:
    search = _play(RateSearch(100, lowest=1), lambda rate: False)
    assert search.best == 0


def test_a_server_without_a_limit_ends_the_search() -> None:
    search = _play(RateSearch(100, highest=10_000), lambda rate: True)
    assert search.best > 5_000


def test_a_failure_by_bad_luck_is_tried_again() -> None:
    generator = random.Random(1)
    answers = []
    for _ in range(50):
        search = RateSearch(50, tries=3)
        _play(search, lambda rate: rate <= 100 and generator.random() > 0.1)
        answers.append(search.best)
    assert sorted(answers)[2] >= 95


def test_a_rate_that_holds_above_one_that_failed_puts_the_failure_right() -> None:
    search = RateSearch(100)
    search.observe(100, False)
    search.observe(150, False)
    search.observe(120, True)
    assert (search.best, search.failed) == (120, 150)


@pytest.mark.parametrize("options", [{"precision": 0}, {"growth": 1}, {"tries": 0}])
def test_options_with_which_it_would_not_end_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        RateSearch(10, **options)
