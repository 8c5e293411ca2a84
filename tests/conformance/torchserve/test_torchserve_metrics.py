"""Metrics by TorchServe's names, in the text that its scrapers know."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .conftest import TorchServe, archive

#: As Prometheus asks: it would rather have OpenMetrics.
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"
)
MEASURING = """
from ts.metrics.dimension import Dimension


class Handler:
    def initialize(self, context):
        pass

    def handle(self, data, context):
        context.metrics.add_counter("Seen", 1)
        context.metrics.add_time("Slow", 1.5, None, "s", [Dimension("stage", "first")])
        return ["seen"] * len(data)
"""
OF_FRONT = ("ts_inference_requests_total", "ts_inference_latency_microseconds")
OF_QUEUE = "ts_queue_latency_microseconds"


def test_metrics_have_a_listener_of_their_own_and_torchserve_s_names(
    torchserve: TorchServe,
) -> None:
    torchserve.management.post("/models?url=other.mar&initial_workers=1")
    assert torchserve.inference.post("/predictions/other", "x").status == 200
    assert torchserve.inference.post("/predictions/other/1.0", "x").status == 200
    text = torchserve.metrics.get("/metrics").text
    assert "mms_requests_total" in text
    assert re.search(r'^Requests2XX\{Level="Host",Hostname="[^"]+",\} \d+\.\d+$', text, re.M)
    assert re.search(r'^CPUUtilization\{Level="Host",Hostname="[^"]+",\} \d+\.\d+$', text, re.M)
    names = ("ts_inference_requests_total", "Requests5XX", "nothing")
    query = "&".join(f"name[]={name}" for name in names)
    some = torchserve.metrics.get(f"/metrics?{query}").text
    help = "Torchserve prometheus counter metric with unit: Count"
    assert [line for line in some.splitlines() if line.startswith("# HELP")] == [
        f"# HELP Requests5XX {help}",
        f"# HELP ts_inference_requests_total {help}",
    ]
    for version in ("default", "1.0"):
        labels = f'{{model_name="other",model_version="{version}",hostname="[^"]+",}}'
        assert re.search(f"^ts_inference_requests_total{labels} 1.0$", some, re.M)
    assert torchserve.metrics.get("/models").status == 404


@pytest.mark.parametrize("mode", ["log", "prometheus", "legacy"])
def test_each_mode_has_its_metrics_on_the_listener_also_for_prometheus_itself(
    tmp_path: Path, mode: str
) -> None:
    flags = ("--ncs", "--disable-token-auth", "--enable-model-api")
    server = TorchServe(tmp_path, *flags, settings={"metrics_mode": mode})
    archive(server.store, "measured", MEASURING)
    try:
        server.start()
        server.management.post("/models?url=measured.mar&initial_workers=1")
        for _ in range(2):
            assert server.inference.post("/predictions/measured", "x").status == 200
        reply = server.metrics.get("/metrics", headers={"Accept": PROMETHEUS})
        server.stop()
    finally:
        server.kill()
    assert (reply.header("Content-Type") or "").startswith("text/plain; version=0.0.4")
    host = 'Hostname="[^"]+",'
    own = f'ModelName="measured",Level="Model",{host}model_version="1.0",'
    others = [
        f'Requests2XX{{Level="Host",{host}}} \\d+\\.0',
        f'QueueTime{{Level="Host",{host}}} [\\d.e-]+',
        f'PredictionTime{{ModelName="measured",Level="Model",{host}}} [\\d.e-]+',
        f"Seen{{{own}}} 2.0",
        f'Slow{{stage="first",{own}}} 1.5',
    ]
    for name in (*OF_FRONT, OF_QUEUE):
        labels = 'model_name="measured",model_version="default",hostname="[^"]+",'
        assert re.search(f"^{name}{{{labels}}} [\\d.e+]+$", reply.text, re.M), name
    found = [bool(re.search(f"^{each}$", reply.text, re.M)) for each in others]
    assert found == [mode != "legacy"] * len(others)
    # Each family once.
    types = re.findall(r"^# TYPE (\S+)", reply.text, re.M)
    assert len(types) == len(set(types))
