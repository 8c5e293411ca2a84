from __future__ import annotations

import logging
import math
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_open_metrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from mms.observe.metrics.custom_series import BOUNDS_S, CustomSeries
from mms.observe.metrics.prometheus import PrometheusText
from mms.observe.recorder import Recorder

from .conftest import WrittenLogs


def update(type_: str, name: str, value: float, **labels: str) -> dict[str, Any]:
    return {"type": type_, "name": name, "value": value, "labels": labels}


@pytest.fixture
def recorder(written: WrittenLogs) -> Recorder:
    return Recorder(written.configure().logs, hostname="h1")


def text_of(recorder: Recorder, series: CustomSeries, accept: str | None = None) -> str:
    text = PrometheusText(recorder, list, server_version="1", collectors=(series,))
    return text.render(accept)[1].decode()


def samples(recorder: Recorder, series: CustomSeries) -> dict[tuple[str, Any], float]:
    """(line's name, labels) -> value, of the families that models made."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse_text(text_of(recorder, series))
        if family.documentation == "Made by a model."
        for sample in family.samples
    }


def value(recorder: Recorder, series: CustomSeries, name: str, **labels: str) -> float:
    return samples(recorder, series)[name, frozenset(labels.items())]


def test_counters_add_up_over_workers_and_gauges_have_the_last_value(recorder):
    series = CustomSeries()
    for pid in (1, 2):
        series.add("m", pid, [update("counter", "calls", 2, a="x"), update("gauge", "level", pid)])
    assert samples(recorder, series) == {
        ("calls_total", frozenset({("a", "x")})): 4,
        ("level", frozenset()): 2,
    }


def test_the_same_name_with_other_labels_is_a_series_of_one_family(recorder):
    series = CustomSeries()
    series.add("m", 1, [update("counter", "c", 1, a="x"), update("counter", "c", 1, b="y")])
    text = text_of(recorder, series)
    assert text.count("# TYPE c_total counter") == 1
    assert 'c_total{a="x"} 1.0' in text
    assert 'c_total{b="y"} 1.0' in text


def test_a_counter_s_name_that_ends_in_total_does_not_get_another(recorder):
    series = CustomSeries()
    series.add("m", 1, [update("counter", "c_total", 1), update("counter", "c", 1)])
    assert value(recorder, series, "c_total") == 2


def test_a_reward_may_be_negative(recorder):
    series = CustomSeries()
    for reward in (5, -2):
        series.add("m", 1, [update("counter", "seldon_api_model_feedback_reward", reward)])
    assert value(recorder, series, "seldon_api_model_feedback_reward_total") == 3


def test_a_histogram_has_the_buckets_of_seldon_s_wrapper(recorder):
    assert len(BOUNDS_S) == 50
    assert [repr(bound) for bound in (BOUNDS_S[0], BOUNDS_S[1], BOUNDS_S[-1])] == [
        "0.001",
        "0.0012341553253454693",
        "29.999999999999996",
    ]
    series = CustomSeries()
    series.add("m", 1, [update("histogram", "t", v, a="x") for v in (0.0005, 0.0202, 100.0)])
    assert value(recorder, series, "t_bucket", a="x", le="0.001") == 1
    assert value(recorder, series, "t_bucket", a="x", le=repr(BOUNDS_S[-1])) == 2
    assert value(recorder, series, "t_bucket", a="x", le="+Inf") == 3
    assert value(recorder, series, "t_count", a="x") == 3
    assert value(recorder, series, "t_sum", a="x") == pytest.approx(100.0207)


def test_workers_have_series_of_their_own_in_strict_mode_alone(recorder):
    for is_strict, expected in ((False, {"": 2}), (True, {"1": 1, "2": 1})):
        series = CustomSeries(has_worker_id=is_strict)
        for pid in (1, 2):
            series.add("m", pid, [update("counter", "c", 1, worker_id=str(pid))])
        found = {
            dict(labels).get("worker_id", ""): v
            for (_, labels), v in samples(recorder, series).items()
        }
        assert found == expected


def test_strict_mode_names_a_process_that_does_not_name_itself(recorder):
    series = CustomSeries(has_worker_id=True)
    series.add("m", 77, [update("counter", "c", 1)])
    assert value(recorder, series, "c_total", worker_id="77") == 1


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (update("counter", "no-name", 1), "not a name that Prometheus allows"),
        (update("counter", "", 1), "not a name that Prometheus allows"),
        (update("timer", "c", 1), "'timer' is not a type"),
        (update("counter", "mms_requests", 1), "reserved for the server"),
        (update("counter", "process_cpu_seconds", 1), "reserved for the server"),
        (update("counter", "c", math.nan), "cannot take the value nan"),
        (update("histogram", "c", math.inf), "cannot take the value inf"),
        (update("counter", "c", 1, **{"a b": "x"}), "'a b' is not a name for a label"),
        (update("counter", "c", 1, __a="x"), "'__a' is not a name for a label"),
        (update("histogram", "c", 1, le="x"), "'le' is not a name for a label"),
        (update("gauge", "good_total", 1), "clashes with counter good"),
        (update("gauge", "good", 1), "clashes with counter good"),
        (update("histogram", "good", 1), "clashes with counter good"),
        ({"type": "counter", "name": "c"}, "malformed"),
        ({"type": "counter", "name": "c", "value": "much"}, "malformed"),
        ({"type": "counter", "name": "c", "value": 10**400}, "malformed"),
        ({"type": ["counter"], "name": "c", "value": 1}, "is not a type"),
        ({"type": "counter", "name": "c", "value": 1, "labels": [1]}, "malformed"),
        ("text", "malformed"),
    ],
)
@pytest.mark.parametrize("accept", [None, "application/openmetrics-text; version=1.0.0"])
def test_what_cannot_be_shown_is_left_out_with_one_log_line(recorder, caplog, wrong, why, accept):
    series = CustomSeries()
    with caplog.at_level(logging.WARNING):
        series.add("m", 1, [update("counter", "good", 1), wrong, wrong, update("gauge", "fine", 1)])
    assert [why in message for message in caplog.messages] == [True]
    assert "of model m" in caplog.messages[0]
    text = text_of(recorder, series, accept)
    names = {f.name for f in (parse_open_metrics if accept else parse_text)(text)}
    assert {"good", "fine"} <= names
    assert not {"c", "no-name"} & names


def test_a_label_that_utf8_cannot_hold_does_not_break_the_text(recorder):
    series = CustomSeries()
    series.add("m", 1, [update("counter", "c", 1, a='\ud800"\n')])
    assert value(recorder, series, "c_total", a='?"\n') == 1


def test_series_beyond_the_limit_are_left_out_with_one_log_line(recorder, caplog):
    series = CustomSeries(max_series=3)
    with caplog.at_level(logging.WARNING):
        for number in range(10):
            series.add("m", 1, [update("counter", "c", 1, id=str(number))])
        series.add("m", 1, [update("counter", "c", 1, id="0"), update("gauge", "g", 1)])
    assert len(caplog.messages) == 1
    assert "3 series" in caplog.messages[0]
    found = samples(recorder, series)
    assert len(found) == 3
    assert found["c_total", frozenset({("id", "0")})] == 2


def test_series_go_with_the_last_model_that_made_them(recorder):
    series = CustomSeries(max_series=2)
    both, one = update("counter", "both", 1), update("gauge", "one", 1)
    series.add("a", 1, [both, one])
    series.add("b", 2, [both])
    series.keep(["b", "other"])
    assert samples(recorder, series) == {("both_total", frozenset()): 2}
    series.add("b", 2, [update("histogram", "one", 1)])
    assert value(recorder, series, "one_count") == 1
    series.keep([])
    assert samples(recorder, series) == {}
