from __future__ import annotations

import pytest

from mms.observe.metrics.aggregates import OVERFLOW_MODEL, Aggregates, Histogram


def test_a_value_on_a_bound_belongs_to_its_bucket() -> None:
    histogram = Histogram((1.0, 2.0))
    histogram.observe_all([1.0, 0.5, 2.0, 1.5, 2.5])
    assert histogram.buckets == [2, 2, 1]


def test_a_histogram_adds_up_over_flushes() -> None:
    histogram = Histogram((1.0,))
    histogram.observe_all([0.5, 3.0])
    histogram.observe_all([0.25])
    histogram.observe_all([])
    assert histogram.count == 3
    assert histogram.total == pytest.approx(3.75)
    assert histogram.buckets == [2, 1]


def test_label_sets_over_the_limit_count_together() -> None:
    aggregates = Aggregates(max_series=2)
    first = aggregates.request_series("a", "", 200)
    assert aggregates.request_series("b", "1", 200) is not first
    assert aggregates.request_series("c", "2", 200) is aggregates.request_series("d", "3", 200)
    assert (OVERFLOW_MODEL, "", 200) in aggregates.requests
    assert aggregates.request_series("a", "", 200) is first
    assert aggregates.batch_series("a", "") is not aggregates.batch_series("b", "")
    assert aggregates.batch_series("c", "") is aggregates.batch_series("d", "1")
