"""Metrics of `context.metrics` as updates of Prometheus series."""

from __future__ import annotations

from typing import Any

import pytest

from mms.metrics.dimension import Dimension
from mms.metrics.metrics_store import MetricsStore
from mms.wire import METRIC, FrameDecoder, Metric
from mms.worker.records.series import label_name, series_name
from mms.worker.running.batch_runner import encode_metrics


def _sent(store: MetricsStore, version: str | None = None) -> list[Metric]:
    decoder = FrameDecoder(1 << 20)
    messages = []
    for frame in encode_metrics(store.store, version):
        stream = memoryview(frame)
        while stream:
            buffer = decoder.get_buffer()
            size = min(len(buffer), len(stream))
            buffer[:size] = stream[:size]
            stream = stream[size:]
            for kind, _, payload, _ in decoder.received(size):
                assert kind == METRIC
                messages.append(Metric.from_payload(payload))
    return messages


def _series(store: MetricsStore, version: str | None = None) -> list[dict[str, Any]]:
    return [series for message in _sent(store, version) for series in message.series]


def test_counters_are_counters_and_all_else_gauges_with_dimensions_as_labels() -> None:
    store = MetricsStore({0: "a", 1: "b"}, "m")
    store.add_counter("Tokens", 3, idx=0)
    store.add_counter("Tokens", 4, idx=0)
    store.add_time("Pre process", 1.5, dimensions=[Dimension("Camera-1", "left:2")])
    store.add_error("Burnt", 1)
    model = {"ModelName": "m", "Level": "Model", "model_version": "v1"}
    assert _series(store, "v1") == [
        {"type": "counter", "name": "Tokens", "labels": model, "value": 7.0},
        {
            "type": "gauge",
            "name": "Pre_process",
            "labels": {**model, "Camera_1": "left:2"},
            "value": 1.5,
        },
        {
            "type": "gauge",
            "name": "Burnt",
            "labels": {"Level": "Error", "model_version": "v1"},
            "value": 1.0,
        },
    ]


@pytest.mark.parametrize("value", ["text", None, float("nan"), float("inf"), 10**400, [1]])
def test_what_is_no_number_is_a_line_alone(value: Any) -> None:
    store = MetricsStore(None, "m")
    store.add_metric("Odd", value)
    (message,) = _sent(store)
    assert message.series == []
    assert len(message.lines) == 1


def test_a_metric_that_raises_is_left_out_alone() -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    store = MetricsStore(None, "m")
    store.add_metric("Bad", 1)
    store.store[0].dimensions = [Broken()]  # type: ignore[list-item]
    store.add_metric("Good", 1)
    assert [series["name"] for series in _series(store)] == ["Good"]


def test_any_number_of_metrics_comes_in_frames_that_a_server_believes() -> None:
    store = MetricsStore(None, "m")
    for number in range(5000):
        store.add_metric(f"M{number}", number)
    messages = _sent(store)
    assert sum(len(message.lines) for message in messages) == 5000
    assert len(messages) > 1


@pytest.mark.parametrize(
    ("name", "as_series", "as_label"),
    [
        ("plain", "plain", "plain"),
        ("a:b", "a:b", "a_b"),
        ("9 lives", "_9_lives", "_9_lives"),
        ("__own", "__own", "own"),
        ("\u4e00", "_", "_"),
        ("", "", "_"),
    ],
)
def test_names_become_such_as_prometheus_has(name: str, as_series: str, as_label: str) -> None:
    assert (series_name(name), label_name(name)) == (as_series, as_label)
