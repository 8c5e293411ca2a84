"""TorchServe's own metrics by their names, in the text that its scrapers know: a comma ends each list of labels."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from typing import Final

from mms.observe.metrics.aggregates import Aggregates
from mms.observe.metrics.host import HostReading

_MICROSECONDS: Final = 1e6


def metrics_text(aggregates: Aggregates, reading: HostReading | None) -> str:
    """Return the families of the front. Called in the thread of a scrape."""
    host = socket.gethostname()
    return "".join(
        [*_of_answers(aggregates, host), *_of_models(aggregates, host), *_of_host(reading, host)]
    )


def _of_answers(aggregates: Aggregates, host: str) -> Iterator[str]:
    counts: Counter[int] = Counter()
    for (_, _, status), series in list(aggregates.requests.items()):
        counts[status // 100] += series.count
    labels = _labels(Level="Host", Hostname=host)
    for digit in (2, 4, 5):
        yield _family(f"Requests{digit}XX", "counter", "Count", {labels: counts[digit]})


def _of_models(aggregates: Aggregates, host: str) -> Iterator[str]:
    requests: Counter[str] = Counter()
    latencies: dict[str, float] = {}
    for (model, version, _), series in list(aggregates.requests.items()):
        if model:
            labels = _of_model(model, version, host)
            requests[labels] += series.count
            latencies[labels] = latencies.get(labels, 0.0) + series.total * _MICROSECONDS
    waits = {
        _of_model(model, version, host): series.queue.total * _MICROSECONDS
        for (model, version), series in list(aggregates.batches.items())
    }
    yield _family("ts_inference_requests_total", "counter", "Count", dict(requests))
    yield _family("ts_inference_latency_microseconds", "counter", "Microseconds", latencies)
    yield _family("ts_queue_latency_microseconds", "counter", "Microseconds", waits)


def _of_host(reading: HostReading | None, host: str) -> Iterator[str]:
    if reading is None:
        return
    labels = _labels(Level="Host", Hostname=host)
    for name, unit, value in reading.metrics():
        yield _family(name, "gauge", unit, {labels: value})


def _of_model(model: str, version: str, host: str) -> str:
    """A request that names no version is one of the default."""
    return _labels(model_name=model, model_version=version or "default", hostname=host)


def _family(name: str, kind: str, unit: str, samples: dict[str, float]) -> str:
    lines = [
        f"# HELP {name} Torchserve prometheus {kind} metric with unit: {unit}",
        f"# TYPE {name} {kind}",
        *(f"{name}{labels} {float(value)}" for labels, value in samples.items()),
    ]
    return "\n".join(lines) + "\n"


def _labels(**values: str) -> str:
    pairs = "".join(f'{name}="{_escaped(value)}",' for name, value in values.items())
    return f"{{{pairs}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
