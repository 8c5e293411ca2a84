"""`context.metrics` of TorchServe handlers: what is measured reaches log and Prometheus by TorchServe dimensions."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Any

import pytest

from mms.interfaces.torchserve.context import Context
from mms.interfaces.torchserve.front.load_part import handler_load
from mms.interfaces.torchserve.metrics.emitted import EMITTED, MOST_EMITTED
from mms.interfaces.torchserve.metrics.kinds import MetricTypes
from mms.interfaces.torchserve.settings import TorchServeSettings
from mms.metrics.dimension import Dimension
from mms.settings import Settings
from mms.worker.records.series import series_of_metric


@pytest.fixture
def context() -> Context:
    EMITTED.take()
    context = Context("m", "", None, 2, None, "")
    context._begin([b"id-a", b"id-b"], ["", ""], [b"", b""])
    return context


def taken(context: Context) -> list[str]:
    """The lines so far, without host and time."""
    lines = [str(metric).split("|#hostname:") for metric in context._taken_metrics()]
    return [f"{line} {rest.partition(',')[2].partition(',')[2]}".strip() for line, rest in lines]


def test_a_line_is_in_torchserves_form(context: Context) -> None:
    context.metrics.add_time("Slow", 1.5, 1, "s", [Dimension("stage", "first")])
    context.metrics.add_counter("Seen", 2)
    context.metrics.add_error("Wrong", 1)
    assert taken(context) == [
        "Slow.Seconds:1.5|#stage:first,ModelName:m,Level:Model id-b",
        "Seen.Count:2.0|#ModelName:m,Level:Model id-a,id-b",
        "Wrong.unit:1.0|#Level:Error",
    ]
    assert taken(context) == []


def test_a_metric_of_the_load_has_the_dimensions_that_batches_give_it() -> None:
    EMITTED.take()
    context = Context("m", "", None, 1, None, "")
    context.metrics.add_counter("Seen", 1)
    context._begin([b"id"], [""], [b""])
    context.metrics.add_counter("Seen", 1)
    assert len(taken(context)) == 2


def test_the_dimensions_of_a_call_stay_as_they_are_handed_in(context: Context) -> None:
    own: list[Dimension] = []
    context.metrics.add_counter("Seen", 1, None, own)
    assert own == []


def test_a_counter_takes_nothing_below_0_and_a_metric_no_other_dimensions(
    context: Context,
) -> None:
    context.metrics.add_counter("Seen", -1)
    context.metrics.add_metric_to_cache("Own", "apples", ["a"]).add_or_update(1, ["x", "y"])
    assert taken(context) == []


def test_prometheus_gets_the_kind_and_the_host(context: Context) -> None:
    histogram = context.metrics.add_metric_to_cache("Sizes", "B", [], MetricTypes.HISTOGRAM)
    histogram.add_or_update(3)
    (metric,) = context._taken_metrics()
    (series,) = series_of_metric(metric, "1.0")
    assert (series["type"], series["name"], series["value"]) == ("histogram", "Sizes", 3.0)
    assert sorted(series["labels"]) == ["Hostname", "model_version"]


def test_a_kind_of_torchserves_own_package_is_understood(context: Context) -> None:
    theirs = enum.Enum("MetricTypes", {"GAUGE": "gauge"})
    context.metrics.add_metric("Own", 1, "s", metric_type=theirs.GAUGE)
    assert context.metrics.cache_keys() == ["gauge:Own"]


def test_metrics_that_nobody_takes_do_not_fill_the_memory(context: Context) -> None:
    metric = context.metrics.add_metric_to_cache("Own", "s")
    for _ in range(MOST_EMITTED + 10):
        metric.add_or_update(1)
    assert len(context._taken_metrics()) == MOST_EMITTED
    metric.add_or_update(1)
    assert len(context._taken_metrics()) == 1


def loaded(config: str) -> Any:
    settings = Settings()
    settings.of_interfaces[TorchServeSettings] = TorchServeSettings(metrics_config=config)
    served: Any = None
    return handler_load(served, settings, {})


def test_handlers_find_the_metrics_of_the_configured_file(tmp_path: Path) -> None:
    file = tmp_path / "metrics.yaml"
    file.write_text(
        "dimensions: [&level Level]\n"
        "model_metrics:\n  counter:\n    - {name: Seen, unit: count, dimensions: [*level]}\n"
    )
    load = loaded(str(file))
    context = Context("m", "", None, 1, None, "")
    context.metrics.configure(load.metrics)
    assert context.metrics.get_metric("Seen").dimension_names == ["Level"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("model_metrics: [", "Error parsing file"),
        ("other: 1", "'model_metrics' key not found"),
        ("model_metrics:\n  other: []", "Invalid metric type"),
        ("model_metrics:\n  gauge: [{name: x}]", "Key not found in cache spec: 'unit'"),
        ("model_metrics:\n  gauge: [x]", "a metric is 'x'"),
        (
            "model_metrics:\n  gauge: [{name: 2024-01-01, unit: s, dimensions: []}]",
            "name and unit of a metric are texts",
        ),
        (
            "model_metrics:\n  gauge: [{name: x, unit: s, dimensions: [1]}]",
            "dimensions of metric 'x'",
        ),
    ],
)
def test_a_file_that_is_no_configuration_fails_the_load_with_its_reason(
    tmp_path: Path, text: str, named: str
) -> None:
    file = tmp_path / "metrics.yaml"
    file.write_text(text)
    assert named in loaded(str(file)).problem
    assert "Error reading file" in loaded(str(tmp_path / "absent")).problem
