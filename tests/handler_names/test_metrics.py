"""`mms.metrics`, as handlers use it."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import socket
import subprocess
import sys
from typing import Any

import pytest

from mms.metrics.dimension import Dimension
from mms.metrics.metric import Metric, MetricUnit
from mms.metrics.metric_encoder import MetricEncoder
from mms.metrics.metrics_store import MetricsStore
from mms.metrics.unit import Units

IDS = {0: "first", 1: "second"}


@pytest.fixture
def store() -> MetricsStore:
    return MetricsStore(dict(IDS), "m")


def keys(store: MetricsStore) -> list[str]:
    assert list(store.cache.values()) == store.store
    return list(store.cache)


def test_counters_add_up_by_request_and_for_the_whole_batch(store: MetricsStore) -> None:
    store.add_counter("c", 1, idx=0)
    store.add_counter("c", 1, 0)
    store.add_counter("c", 1, 1)
    store.add_counter("c", 1)
    store.add_counter("c", 3)
    assert [metric.value for metric in store.store] == [2, 1, 4]
    assert keys(store) == [
        "c-count-first-ModelName:m-Level:Model",
        "c-count-second-ModelName:m-Level:Model",
        "c-count-first,second-ModelName:m-Level:Model",
    ]


def test_other_metrics_are_replaced_by_later_values(store: MetricsStore) -> None:
    store.add_time("t", 1)
    store.add_time("t", 2)
    store.add_time("t", 3, unit="s")
    assert [metric.value for metric in store.store] == [2, 3]


def test_an_index_that_is_not_in_the_batch_means_all_of_it(store: MetricsStore) -> None:
    store.add_time("t", 1, idx=7)
    assert store.store[0].request_id == "first,second"


@pytest.mark.parametrize(
    ("call", "unit"),
    [
        (lambda s, d: s.add_counter("x", 1, dimensions=d), "Count"),
        (lambda s, d: s.add_time("x", 1, dimensions=d), "Milliseconds"),
        (lambda s, d: s.add_time("x", 1, None, "s", d), "Seconds"),
        (lambda s, d: s.add_size("x", 1, dimensions=d), "Megabytes"),
        (lambda s, d: s.add_size("x", 1, unit="kB", dimensions=d), "Kilobytes"),
        (lambda s, d: s.add_size("x", 1, unit="GB", dimensions=d), "Gigabytes"),
        (lambda s, d: s.add_size("x", 1, unit="B", dimensions=d), "Bytes"),
        (lambda s, d: s.add_percent("x", 1, dimensions=d), "Percent"),
        (lambda s, d: s.add_metric("x", 1, unit="km", dimensions=d), "km"),
        (lambda s, d: s.add_metric("x", 1, "km", d), "km"),
        (lambda s, d: s.add_metric("x", 1, "ms", dimensions=d), "Milliseconds"),
        (lambda s, d: s.add_metric("x", 1, dimensions=d), "unit"),
    ],
)
def test_dimensions_are_kept_and_the_callers_list_is_left_alone(
    store: MetricsStore, call: Any, unit: str
) -> None:
    own = [Dimension("Shape", "wide")]
    call(store, own)
    call(store, own)
    (metric,) = store.store
    assert metric.unit == unit
    assert [str(d) for d in metric.dimensions] == ["Shape:wide", "ModelName:m", "Level:Model"]
    assert len(own) == 1


def test_an_error_belongs_to_no_request(store: MetricsStore) -> None:
    store.add_error("e", "why", [Dimension("A", "b")])
    (metric,) = store.store
    assert metric.request_id is None
    assert [str(d) for d in metric.dimensions] == ["A:b", "Level:Error"]
    assert keys(store) == ["e--None-A:b-Level:Error"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda s: s.add_time("x", 1, unit="ns"),
            "the unit for a timed metric should be one of ['ms', 's']",
        ),
        (
            lambda s: s.add_size("x", 1, unit="TB"),
            "The unit for size based metric is one of ['MB','kB', 'GB', 'B']",
        ),
        (
            lambda s: s.add_counter("x", 1, dimensions=Dimension("A", "b")),
            "Please provide a list of dimensions",
        ),
        (lambda s: s.add_error("x", 1, ("A", "b")), "Please provide a list of dimensions"),
    ],
)
def test_wrong_units_and_dimensions_are_refused(
    store: MetricsStore, call: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        call(store)
    assert store.store == []


@pytest.mark.parametrize("request_ids", [None, "an id of the load"])
def test_metrics_without_a_batch_take_an_index_too(request_ids: str | None) -> None:
    store = MetricsStore(request_ids, "m")
    store.add_time("t", 1, idx=0)
    assert store.store[0].request_id == request_ids
    assert str(store.store[0].dimensions[1]) == "Level:Model"  # type: ignore[index]


def test_the_words_for_units() -> None:
    assert (
        Units().units
        == MetricUnit.units
        == {
            "ms": "Milliseconds",
            "s": "Seconds",
            "percent": "Percent",
            "count": "Count",
            "MB": "Megabytes",
            "GB": "Gigabytes",
            "kB": "Kilobytes",
            "B": "Bytes",
            None: "unit",
        }
    )


def test_a_metric_is_a_line_with_host_time_and_requests() -> None:
    dimensions = [Dimension("A", "b"), Dimension("Level", "Model")]
    host = re.escape(socket.gethostname())
    line = str(Metric("Own", 1.5, "ms", dimensions, "id1,id2"))
    pattern = rf"Own\.Milliseconds:1\.5\|#A:b,Level:Model\|#hostname:{host},\d{{10}}"
    assert re.fullmatch(pattern + ",id1,id2", line)
    assert re.fullmatch(pattern, str(Metric("Own", 1.5, "ms", dimensions)))


def test_metrics_and_dimensions_are_written_as_json() -> None:
    metric = Metric("Own", 1, "count", [Dimension("A", "b")], "id", "counter")
    metric.update(2)
    shown = json.loads(json.dumps({"all": [metric]}, cls=MetricEncoder))["all"][0]
    assert shown.pop("Timestamp") > 1_500_000_000
    assert shown == {
        "MetricName": "Own",
        "Value": 3,
        "Unit": "Count",
        "Dimensions": [{"Name": "A", "Value": "b"}],
        "HostName": socket.gethostname(),
        "RequestId": "id",
    }
    assert list(metric.to_dict())[:4] == ["MetricName", "Value", "Unit", "Dimensions"]
    with pytest.raises(TypeError):
        json.dumps(object(), cls=MetricEncoder)


def test_host_metrics_are_collected_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    from mms.metrics import system_metrics

    system_metrics.system_metrics.clear()
    with caplog.at_level(logging.INFO):
        system_metrics.collect_all(system_metrics)
    names = [line.partition(":")[0] for line in caplog.messages]
    assert names == [
        "CPUUtilization.Percent",
        "DiskAvailable.Gigabytes",
        "DiskUsage.Gigabytes",
        "DiskUtilization.Percent",
        "MemoryAvailable.Megabytes",
        "MemoryUsed.Megabytes",
        "MemoryUtilization.Percent",
        "",
    ]
    assert "|#Level:Host|#hostname:" in caplog.messages[0]
    system_metrics.system_metrics.clear()


def test_the_memory_of_processes_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    from mms.metrics.process_memory_metric import check_process_mem_usage, get_cpu_usage

    own = os.getpid()
    with caplog.at_level(logging.INFO):
        check_process_mem_usage(io.StringIO(f"{own},,99999999\n"))
    assert get_cpu_usage(str(own)) > 1_000_000
    assert re.fullmatch(rf"{own}:\d+", caplog.messages[0])
    assert caplog.messages[1] == "Failed to get process for pid: 99999999"


def test_the_package_knows_its_modules_and_imports_them_when_asked() -> None:
    code = (
        "import sys, mms.metrics\n"
        "assert 'mms.metrics.metric' not in sys.modules\n"
        "mms.metrics.metric.Metric, mms.metrics.system_metrics.collect_all\n"
        "from mms.metrics import dimension, metric_encoder, metrics_store, unit\n"
        "assert 'psutil' not in sys.modules\n"
        "try:\n    mms.metrics.absent\nexcept AttributeError as e:\n    assert 'absent' in str(e)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
