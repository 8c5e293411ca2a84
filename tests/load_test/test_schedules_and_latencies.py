"""When requests are due, and how what came of them is counted."""

from __future__ import annotations

import json
import math
import random
import statistics
from itertools import islice, pairwise

import pytest

from mms.load_test import (
    ClosedLoop,
    ConstantArrivals,
    LatencyGoal,
    LatencyHistogram,
    LoadRequest,
    LoadResult,
    PoissonArrivals,
    Target,
)


def test_poisson_arrivals_have_the_rate_and_the_spread_of_independent_clients() -> None:
    times = list(islice(PoissonArrivals(200.0).times(), 20_000))
    gaps = [after - before for before, after in pairwise([0.0, *times])]
    assert statistics.mean(gaps) == pytest.approx(1 / 200, rel=0.03)
    assert statistics.stdev(gaps) == pytest.approx(1 / 200, rel=0.03)
    assert times == sorted(times)


def test_the_same_seed_gives_the_same_times() -> None:
    first, again, other = (list(islice(PoissonArrivals(9, seed).times(), 50)) for seed in (1, 1, 2))
    assert first == again != other


def test_constant_arrivals_are_equally_far_apart_however_long_it_takes() -> None:
    assert list(islice(ConstantArrivals(4.0).times(), 100_000))[-1] == 99_999 / 4


@pytest.mark.parametrize("rate", [0.0, -1.0, math.inf, math.nan])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        PoissonArrivals(rate)


def test_a_closed_loop_has_a_client_at_least() -> None:
    with pytest.raises(ValueError, match="client"):
        ClosedLoop(0)


def test_percentiles_are_within_a_per_cent_of_the_exact_ones() -> None:
    generator = random.Random(3)
    values = sorted(generator.lognormvariate(-4, 1.5) for _ in range(10_000))
    histogram = LatencyHistogram.of(values)
    for share in (0.01, 0.5, 0.9, 0.99, 0.999):
        exact = values[math.ceil(share * len(values)) - 1]
        assert histogram.percentile(share) == pytest.approx(exact, rel=0.01)
    assert (histogram.percentile(0), histogram.percentile(1)) == pytest.approx(
        (values[0], values[-1]), rel=0.01
    )
    assert histogram.mean_s == pytest.approx(statistics.mean(values))


def test_a_histogram_holds_little_however_many_and_strange_the_latencies_are() -> None:
    generator = random.Random(4)
    histogram = LatencyHistogram.of(generator.uniform(-1, 1) * 1e6 for _ in range(20_000))
    assert histogram.count == 20_000
    assert len(histogram.buckets()) < 2_500


def test_histograms_add_up_and_go_through_json() -> None:
    one, other = LatencyHistogram.of([0.001, 0.2]), LatencyHistogram.of([0.05])
    one.add(LatencyHistogram.from_dict(json.loads(json.dumps(other.as_dict()))))
    assert one.as_dict()["counts"] == LatencyHistogram.of([0.001, 0.05, 0.2]).as_dict()["counts"]
    assert one.count == 3
    assert one.max_s == 0.2
    empty = LatencyHistogram.from_dict(LatencyHistogram().as_dict())
    assert math.isnan(empty.percentile(0.5))


@pytest.mark.parametrize("document", [{}, {"counts": 3}, {"counts": {"x": 1}}])
def test_what_is_no_histogram_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        LatencyHistogram.from_dict(document)


def _result(latencies_s: list[float], errors: int = 0) -> LoadResult:
    result = LoadResult(1.0, requests=len(latencies_s) + errors)
    result.latencies = LatencyHistogram.of(latencies_s)
    result.errors["503"] = errors
    return result


def test_an_error_counts_as_an_answer_that_never_came() -> None:
    result = _result([0.01] * 98, errors=2)
    assert result.percentile(0.98) == pytest.approx(0.01, rel=0.01)
    assert result.percentile(0.99) == math.inf
    assert result.holds(LatencyGoal(0.05, 0.98))
    assert not result.holds(LatencyGoal(0.05, 0.99))


def test_a_goal_holds_where_its_share_of_all_requests_is_in_time() -> None:
    result = _result([0.01] * 99 + [1.0])
    assert result.holds(LatencyGoal(0.05, 0.99))
    assert not result.holds(LatencyGoal(0.05, 0.995))
    assert not result.holds(LatencyGoal(0.005, 0.5))
    assert not _result([]).holds(LatencyGoal(1.0)), "nobody knows"


@pytest.mark.parametrize(("limit_s", "share"), [(0, 0.99), (-1, 0.99), (1, 0), (1, 1), (1, 99)])
def test_a_goal_that_is_none_is_refused(limit_s: float, share: float) -> None:
    with pytest.raises(ValueError):
        LatencyGoal(limit_s, share)


@pytest.mark.parametrize(
    "request_",
    [
        LoadRequest("/a", headers={"X": "1\r\nY: 2"}),
        LoadRequest("/a\r\nX: 1"),
        LoadRequest("no-slash"),
        LoadRequest("/a b"),
    ],
)
def test_a_request_that_would_break_its_head_is_refused(request_: LoadRequest) -> None:
    with pytest.raises(ValueError):
        request_.encode(Target("localhost", 80))
