from __future__ import annotations

import re
import subprocess
import sys

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_open_metrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from mms import faults
from mms.observe.metrics.host import HostReading
from mms.observe.metrics.prometheus import PrometheusText
from mms.observe.metrics.snapshot import ModelSnapshot, WorkerSnapshot
from mms.observe.recorder import Recorder

from .conftest import WrittenLogs

_OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
_MODELS = [
    ModelSnapshot(
        "noop",
        "1.0",
        queue_length=3,
        queue_capacity=100,
        in_flight=2,
        workers=[
            WorkerSnapshot("W-noop-0", 11, "READY", memory_bytes=5_000_000, restarts=1),
            WorkerSnapshot("W-noop-1", 12, "READY"),
            WorkerSnapshot("W-noop-2", 0, "BACKOFF", restarts=4),
        ],
    )
]
_READING = HostReading(25.0, 1, 2, 3.0, 4, 5, 6.0)


@pytest.fixture
def recorder(written: WrittenLogs) -> Recorder:
    recorder = Recorder(written.configure().logs, hostname="h1")
    for status, elapsed_s in ((200, 0.002), (200, 0.02), (503, 0.5)):
        recorder.requests.append(
            (17.0, "r POST /predictions/noop", status, elapsed_s, "noop", "1.0", None)
        )
    recorder.requests.append((17.0, "r GET /ping", 200, 0.001, "", "", None))
    recorder.batches.append(
        (17.0, "noop", "1.0", "W-noop-0", 2, [0.001, 0.002], 0.01, [b"1", b"2"], True)
    )
    recorder.batches.append((17.0, "noop", "1.0", "W-noop-0", 1, [0.001], 0.01, [b"3"], False))
    return recorder


@pytest.fixture
def text(recorder: Recorder) -> PrometheusText:
    return PrometheusText(
        recorder,
        lambda: _MODELS,
        server_version="2.0.0",
        host=lambda: _READING,
        dropped_lines=lambda: 9,
    )


def _samples(body: bytes) -> dict[str, float]:
    return {
        f"{sample.name}{{{','.join(f'{k}={v}' for k, v in sorted(sample.labels.items()))}}}": sample.value
        for family in parse_text(body.decode())
        for sample in family.samples
    }


def test_requests_are_counted_by_model_version_and_status(text: PrometheusText) -> None:
    samples = _samples(text.render()[1])
    assert samples["mms_requests_total{model=noop,status=200,version=1.0}"] == 2
    assert samples["mms_requests_total{model=noop,status=503,version=1.0}"] == 1
    assert samples["mms_requests_total{model=,status=200,version=}"] == 1


def test_latencies_are_a_histogram_in_seconds(text: PrometheusText) -> None:
    samples = _samples(text.render()[1])
    name = "mms_request_duration_seconds"
    labels = "model=noop,status=200,version=1.0"
    assert samples[f"{name}_bucket{{le=0.001,{labels}}}"] == 0
    assert samples[f"{name}_bucket{{le=0.0025,{labels}}}"] == 1
    assert samples[f"{name}_bucket{{le=0.025,{labels}}}"] == 2
    assert samples[f"{name}_bucket{{le=+Inf,{labels}}}"] == 2
    assert samples[f"{name}_count{{{labels}}}"] == 2
    assert samples[f"{name}_sum{{{labels}}}"] == pytest.approx(0.022)


def test_batches_tell_waits_sizes_times_and_failures(text: PrometheusText) -> None:
    samples = _samples(text.render()[1])
    labels = "{model=noop,version=1.0}"
    assert samples[f"mms_queue_time_seconds_count{labels}"] == 3
    assert samples[f"mms_queue_time_seconds_sum{labels}"] == pytest.approx(0.004)
    assert samples[f"mms_handler_duration_seconds_count{labels}"] == 2
    assert samples[f"mms_batch_size_sum{labels}"] == 3
    assert samples["mms_batch_size_bucket{le=1.0,model=noop,version=1.0}"] == 1
    assert samples[f"mms_batch_failures_total{labels}"] == 1


def test_queues_and_workers_come_from_the_snapshot(text: PrometheusText) -> None:
    samples = _samples(text.render()[1])
    assert samples["mms_queue_length{model=noop,version=1.0}"] == 3
    assert samples["mms_queue_capacity{model=noop,version=1.0}"] == 100
    assert samples["mms_requests_in_flight{model=noop,version=1.0}"] == 2
    assert samples["mms_workers{model=noop,state=READY,version=1.0}"] == 2
    assert samples["mms_workers{model=noop,state=BACKOFF,version=1.0}"] == 1
    assert samples["mms_workers{model=noop,state=FAILED,version=1.0}"] == 0
    memory = "mms_worker_memory_bytes{model=noop,version=1.0,worker=W-noop-%d}"
    assert samples[memory % 0] == 5_000_000
    assert memory % 1 not in samples
    restarts = "mms_worker_restarts_total{model=noop,version=1.0,worker=W-noop-2}"
    assert samples[restarts] == 4


def test_the_server_and_the_host_are_described(text: PrometheusText) -> None:
    samples = _samples(text.render()[1])
    assert samples["mms_server_info{version=2.0.0}"] == 1
    assert samples["mms_log_lines_dropped_total{}"] == 9
    assert samples["mms_host_cpu_utilization_ratio{}"] == 0.25
    assert samples["mms_host_memory_used_bytes{}"] == 5
    assert samples["mms_host_disk_available_bytes{}"] == 1
    assert samples["process_resident_memory_bytes{}"] > 1_000_000


def test_unexpected_errors_are_counted_by_model_and_step(text: PrometheusText) -> None:
    for _ in range(2):
        faults.note("tick", ValueError("no such tick"), "noop", "1.0")
    samples = _samples(text.render()[1])
    assert samples["mms_unexpected_errors_total{model=noop,version=1.0,where=tick}"] == 2


def test_the_text_is_the_classic_one_unless_open_metrics_is_accepted(text: PrometheusText) -> None:
    classic_type, classic = text.render("text/plain;version=0.0.4;q=0.5,*/*;q=0.1")
    assert classic_type.startswith("text/plain")
    assert b"# TYPE mms_requests_total counter\n" in classic
    open_type, body = text.render(_OPEN_METRICS)
    assert open_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
    families = {family.name for family in parse_open_metrics(body.decode())}
    assert {"mms_requests", "mms_request_duration_seconds", "mms_server"} <= families


def test_every_name_is_ours_or_standard_and_says_its_unit(text: PrometheusText) -> None:
    for family in parse_text(text.render()[1].decode()):
        assert re.match(r"(mms|process)_", family.name)
        assert family.documentation.endswith(".")
        assert not re.search(r"_(ms|milliseconds|megabytes|mb|percent)(_|$)", family.name)


async def test_a_scrape_sees_what_was_recorded_just_before(
    text: PrometheusText, recorder: Recorder
) -> None:
    await text.scrape()
    recorder.requests.append(
        (18.0, "r POST /", 200, 0.1, "noop", "1.0", None),
    )
    _, body = await text.scrape(None)
    assert _samples(body)["mms_requests_total{model=noop,status=200,version=1.0}"] == 3


def test_counts_stay_when_a_model_goes(recorder: Recorder) -> None:
    models = [*_MODELS]
    text = PrometheusText(recorder, lambda: models, server_version="2.0.0")
    text.render()
    models.clear()
    samples = _samples(text.render()[1])
    assert samples["mms_requests_total{model=noop,status=200,version=1.0}"] == 2
    assert "mms_queue_length{model=noop,version=1.0}" not in samples
    assert not any(name.startswith("mms_host_") for name in samples)


def test_the_package_imports_neither_prometheus_client_nor_psutil_before_they_are_needed() -> None:
    code = (
        "import sys, mms.observe; "
        "print(sorted({'prometheus_client', 'psutil', 'yaml', 'gzip', 'logging.config'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
