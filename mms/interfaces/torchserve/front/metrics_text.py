"""TorchServe's own metrics and handlers', in the text that its scrapers know: a comma ends each list of labels."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from mms.interfaces.torchserve.settings import TorchServeSettings
from mms.observe.metrics.aggregates import Aggregates
from mms.observe.metrics.host import HostReading

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from mms.settings import Settings

_MICROSECONDS: Final = 1e6
_LEGACY: Final = "legacy"
#: Of labels, behind a handler's own.
_ORDER: Final = ("ModelName", "Level", "Hostname", "model_version", "le")
#: A handler's metrics of these names are left to the server.
_OWN: Final = frozenset(
    ("PredictionTime", "QueueTime", "Requests2XX", "Requests4XX", "Requests5XX")
)


class TorchServeText:
    """Makes the text, as `metrics_mode` has it."""

    def __init__(self, settings: Settings) -> None:
        self._is_legacy = settings.of(TorchServeSettings).metrics_mode == _LEGACY

    def __repr__(self) -> str:
        return f"<TorchServeText{', legacy' if self._is_legacy else ''}>"

    def text(
        self, aggregates: Aggregates, reading: HostReading | None, families: Iterable[Metric]
    ) -> str:
        """Return the families of the front and those of handlers. Called in the thread of a scrape."""
        host = socket.gethostname()
        if self._is_legacy:
            # All others are in the log alone.
            return "".join(_of_models(aggregates, host))
        own = [
            *_of_answers(aggregates, host),
            *_of_models(aggregates, host),
            *_of_batches(aggregates, host),
            *_of_host(reading, host),
        ]
        return "".join([*own, *_of_handlers(families)])


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
    named = {(model, version) for model, version, _ in list(aggregates.requests)}
    waits = {
        # A batch may have requests of either form.
        _of_model(model, version if (model, version) in named else "", host): series.queue.total
        * _MICROSECONDS
        for (model, version), series in list(aggregates.batches.items())
    }
    yield _family("ts_inference_requests_total", "counter", "Count", dict(requests))
    yield _family("ts_inference_latency_microseconds", "counter", "Microseconds", latencies)
    yield _family("ts_queue_latency_microseconds", "counter", "Microseconds", waits)


def _of_batches(aggregates: Aggregates, host: str) -> Iterator[str]:
    """Yield gauges of the last batch, in milliseconds."""
    batches = list(aggregates.batches.items())
    if not batches:
        return
    times = {
        _labels(ModelName=model, Level="Model", Hostname=host): series.last_handler_s * 1000
        for (model, _), series in sorted(batches, key=lambda each: each[1].last_at)
    }
    yield _family("PredictionTime", "gauge", "ms", times)
    last = max((series for _, series in batches), key=lambda series: series.last_at)
    labels = _labels(Level="Host", Hostname=host)
    yield _family("QueueTime", "gauge", "Milliseconds", {labels: last.last_queue_s * 1000})


def _of_handlers(families: Iterable[Metric]) -> Iterator[str]:
    """Yield what handlers have measured, under the names that they gave."""
    for family in families:
        if family.name in _OWN:
            continue
        yield f"# HELP {family.name} Torchserve prometheus {family.type} metric\n"
        yield f"# TYPE {family.name} {family.type}\n"
        for sample in family.samples:
            name = family.name if family.type == "counter" else sample.name
            labels = dict(sorted(sample.labels.items(), key=lambda label: _place_of(label[0])))
            yield f"{name}{_labels(**labels)} {float(sample.value)}\n"


def _place_of(label: str) -> tuple[int, str]:
    """Return what labels are sorted by: a handler's own, then TorchServe's, then this server's and Prometheus's."""
    return (_ORDER.index(label) + 1 if label in _ORDER else 0), label


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
