"""The Prometheus text of `GET /metrics`, made at a scrape from the recorder's counts and a snapshot of the models.

prometheus-client is imported at the first scrape: its import costs more time and memory than an idle front needs
otherwise. Its global registry, with collectors of the Python runtime, is not used.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from mms import faults
from mms.core import WorkerState
from mms.interfaces import find_interface, part
from mms.observe.metrics.aggregates import Aggregates, Histogram
from mms.observe.metrics.host import HostReading
from mms.observe.metrics.snapshot import ModelSnapshot
from mms.observe.recorder import Recorder

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import HistogramMetricFamily, Metric

    from mms.settings import Settings

_MODEL = ("model", "version")


class FamilyMaker(Protocol):
    """Has families of its own to show. Called in the thread of a scrape."""

    def collect(self) -> Iterator[Metric]: ...


class ServerText(Protocol):
    """Tells the metrics of the server that this one stands for, in its names and form."""

    def text(
        self, aggregates: Aggregates, reading: HostReading | None, families: Iterable[Metric]
    ) -> str:
        """Return Prometheus text. `families`: what models make. Called in the thread of a scrape."""


def server_text(settings: Settings) -> ServerText | None:
    """Return the text of the server that this one stands for; None where it stands for none that has one."""
    interface = find_interface(settings.stands_for) if settings.stands_for else None
    if interface is None or not interface.metrics_text:
        return None
    made: ServerText = part(interface.metrics_text)(settings)
    return made


class PrometheusText:
    """Makes the text. `snapshot` and `host` are called on the event loop."""

    def __init__(
        self,
        recorder: Recorder,
        snapshot: Callable[[], Sequence[ModelSnapshot]],
        *,
        server_version: str,
        host: Callable[[], HostReading | None] = lambda: None,
        dropped_lines: Callable[[], int] = lambda: 0,
        series: FamilyMaker | None = None,
        collectors: Sequence[FamilyMaker] = (),
        server_text: ServerText | None = None,
    ) -> None:
        """`series`: what models make. `server_text`: tells it in the form of the server that this one stands for."""
        self._recorder = recorder
        self._snapshot = snapshot
        self._server_version = server_version
        self._host = host
        self._dropped_lines = dropped_lines
        self._series = series
        self._collectors = collectors
        self._server_text = server_text
        self._started_at_s = time.time()
        self._registry: CollectorRegistry | None = None
        self._models: Sequence[ModelSnapshot] = ()
        self._reading: HostReading | None = None
        #: One text at a time: the collector reads what the scrape that runs it has taken.
        self._rendering = threading.Lock()

    def __repr__(self) -> str:
        return f"<PrometheusText of {self._recorder.aggregates!r}>"

    async def scrape(self, accept: str | None = None) -> tuple[str, bytes]:
        """Return (content type, body) for a client that sent this `Accept` header: Prometheus text or OpenMetrics.

        Everything recorded before the call is in it. The text is made in a thread.
        """
        self._recorder.flush()
        return await asyncio.to_thread(self._render, accept, self._snapshot(), self._host())

    def render(self, accept: str | None = None) -> tuple[str, bytes]:
        """Return what `scrape` does, made in the caller's thread, which is the event loop's."""
        self._recorder.flush()
        return self._render(accept, self._snapshot(), self._host())

    def _render(
        self, accept: str | None, models: Sequence[ModelSnapshot], reading: HostReading | None
    ) -> tuple[str, bytes]:
        with self._rendering:
            from prometheus_client.exposition import choose_encoder

            self._models = models
            self._reading = reading
            if self._registry is None:
                self._registry = self._make_registry()
            # OpenMetrics, which Prometheus asks for, has no place for families whose names break its rules.
            encode, content_type = choose_encoder("" if self._server_text else accept or "")
            text = encode(self._registry)
            if self._server_text is not None:
                families = self._series.collect() if self._series is not None else ()
                aggregates = self._recorder.aggregates
                text += self._server_text.text(aggregates, reading, families).encode()
            return content_type, text

    def _make_registry(self) -> CollectorRegistry:
        from prometheus_client import CollectorRegistry, ProcessCollector

        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        # The front's own CPU, memory and descriptors, under the names that every exporter uses.
        ProcessCollector(registry=registry)
        return registry

    def describe(self) -> list[Metric]:
        """Reserve no names in the registry; only this class collects there."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield all families. Called by the registry."""
        yield from self._server()
        yield from self._requests()
        yield from self._batches()
        yield from self._queues()
        yield from self._streams()
        yield from self._workers()
        yield from self._residency()
        yield from self._host_gauges()
        if self._series is not None and self._server_text is None:
            yield from self._series.collect()
        for collector in self._collectors:
            yield from collector.collect()

    def _server(self) -> Iterator[Metric]:
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            InfoMetricFamily,
        )

        yield InfoMetricFamily("mms_server", "The server.", {"version": self._server_version})
        yield GaugeMetricFamily(
            "mms_server_start_time_seconds",
            "When the server started, in seconds since the epoch.",
            self._started_at_s,
        )
        yield CounterMetricFamily(
            "mms_log_lines_dropped",
            "Log lines lost because an output did not take them.",
            self._dropped_lines(),
        )
        unexpected = CounterMetricFamily(
            "mms_unexpected_errors",
            "Unexpected errors in the server itself; the log has each with its traceback.",
            labels=(*_MODEL, "where"),
        )
        for place, count in faults.counts().items():
            unexpected.add_metric(place, count)
        yield unexpected

    def _requests(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

        labels = (*_MODEL, "status")
        requests = CounterMetricFamily(
            "mms_requests",
            "HTTP responses; model is empty for requests other than predictions.",
            labels=labels,
        )
        durations = HistogramMetricFamily(
            "mms_request_duration_seconds",
            "Time from the whole request received to the response handed to the network.",
            labels=labels,
        )
        for (model, version, status), series in list(self._recorder.aggregates.requests.items()):
            values = (model, version, str(status))
            requests.add_metric(values, _add_histogram(durations, values, series))
        yield requests
        yield durations

    def _batches(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

        queue = HistogramMetricFamily(
            "mms_queue_time_seconds", "Time that a request waited for a worker.", labels=_MODEL
        )
        handler = HistogramMetricFamily(
            "mms_handler_duration_seconds", "Time of a batch in the model's code.", labels=_MODEL
        )
        sizes = HistogramMetricFamily("mms_batch_size", "Requests of a batch.", labels=_MODEL)
        failures = CounterMetricFamily(
            "mms_batch_failures", "Batches that the model's code failed.", labels=_MODEL
        )
        first_chunks = HistogramMetricFamily(
            "mms_stream_first_chunk_seconds",
            "Time from the whole request received to the first part of an answer that is a stream.",
            labels=_MODEL,
        )
        for values, series in list(self._recorder.aggregates.batches.items()):
            if series.first_chunk.count:
                _add_histogram(first_chunks, values, series.first_chunk)
            _add_histogram(queue, values, series.queue)
            _add_histogram(handler, values, series.handler)
            _add_histogram(sizes, values, series.sizes)
            failures.add_metric(values, series.failures)
        yield from (queue, handler, sizes, failures, first_chunks)

    def _queues(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        length = GaugeMetricFamily(
            "mms_queue_length", "Requests that no worker has begun.", labels=_MODEL
        )
        capacity = GaugeMetricFamily(
            "mms_queue_capacity", "Requests that may wait before more are refused.", labels=_MODEL
        )
        oldest = GaugeMetricFamily(
            "mms_queue_oldest_wait_seconds",
            "How long the request has waited that has been in the queue for longest.",
            labels=_MODEL,
        )
        in_flight = GaugeMetricFamily(
            "mms_requests_in_flight", "Requests that were sent to a worker.", labels=_MODEL
        )
        unanswered = CounterMetricFamily(
            "mms_requests_lost",
            "Requests without an answer of the model: expired, cancelled by their client, refused, shed.",
            labels=(*_MODEL, "reason", "where"),
        )
        policies = GaugeMetricFamily(
            "mms_batch_policy",
            "1 for the rule that forms a model's batches; cause: why it is this one.",
            labels=(*_MODEL, "policy", "cause"),
        )
        for model in self._models:
            values = (model.name, model.version)
            if model.batch_policy[0]:
                policies.add_metric((*values, *model.batch_policy), 1)
            length.add_metric(values, model.queue_length)
            capacity.add_metric(values, model.queue_capacity)
            oldest.add_metric(values, model.oldest_wait_s)
            in_flight.add_metric(values, model.in_flight)
            for kind, count in model.unanswered.items():
                unanswered.add_metric((*values, *kind), count)
        yield from (length, capacity, oldest, in_flight, unanswered, policies)

    def _streams(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        open_streams = GaugeMetricFamily(
            "mms_streams_open", "Answers that are being sent in parts.", labels=_MODEL
        )
        streams = CounterMetricFamily(
            "mms_streams",
            "Streams that have ended: completed, failed, or cancelled by their client.",
            labels=(*_MODEL, "outcome"),
        )
        chunks = CounterMetricFamily("mms_stream_chunks", "Parts of streams.", labels=_MODEL)
        sizes = CounterMetricFamily(
            "mms_stream_chunk_bytes", "Bytes of parts of streams.", labels=_MODEL
        )
        for model in self._models:
            if not (model.streams or model.open_streams):
                continue
            values = (model.name, model.version)
            open_streams.add_metric(values, model.open_streams)
            for outcome in ("completed", "failed", "cancelled"):
                streams.add_metric((*values, outcome), model.streams.get(outcome, 0))
            chunks.add_metric(values, model.streams.get("chunks", 0))
            sizes.add_metric(values, model.streams.get("chunk_bytes", 0))
        yield from (open_streams, streams, chunks, sizes)

    def _workers(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        states = GaugeMetricFamily("mms_workers", "Workers by state.", labels=(*_MODEL, "state"))
        memory = GaugeMetricFamily(
            "mms_worker_memory_bytes",
            "Resident memory of a worker's process.",
            labels=(*_MODEL, "worker"),
        )
        restarts = CounterMetricFamily(
            "mms_worker_restarts",
            "Processes that replaced one that ended unexpectedly.",
            labels=(*_MODEL, "worker"),
        )
        wanted = GaugeMetricFamily(
            "mms_workers_wanted",
            "Workers that would be enough, of models that are scaled by load.",
            labels=_MODEL,
        )
        decisions = CounterMetricFamily(
            "mms_scaling_decisions",
            "Decisions to have more workers (up) or fewer (down) by load, and those that the machine limited.",
            labels=(*_MODEL, "decision"),
        )
        for model in self._models:
            values = (model.name, model.version)
            if model.wanted_workers is not None:
                wanted.add_metric(values, model.wanted_workers)
            if model.wanted_workers is not None or any(model.scaling_decisions.values()):
                for kind, count in model.scaling_decisions.items():
                    decisions.add_metric((*values, kind), count)
            counts = Counter(worker.state for worker in model.workers)
            for state in WorkerState:
                # Zeros too, so that a rule can ask for a model without a ready worker.
                states.add_metric((*values, state.value), counts[state.value])
            for worker in model.workers:
                if worker.memory_bytes:
                    memory.add_metric((*values, worker.name), worker.memory_bytes)
                restarts.add_metric((*values, worker.name), worker.restarts)
        yield from (states, memory, restarts, wanted, decisions)

    def _residency(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        resident = GaugeMetricFamily(
            "mms_resident_bytes",
            "What a model's workers hold (PSS), where memory_limit limits it; while they load, what is expected.",
            labels=_MODEL,
        )
        evictions = CounterMetricFamily(
            "mms_evictions",
            "How often a model gave way: to a load, to what has grown, or busy to one whose turn it was.",
            labels=(*_MODEL, "reason"),
        )
        for model in self._models:
            values = (model.name, model.version)
            if model.resident_bytes is not None:
                resident.add_metric(values, model.resident_bytes)
            for reason, count in model.evictions.items():
                evictions.add_metric((*values, reason), count)
        yield from (resident, evictions)

    def _host_gauges(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        reading = self._reading
        if reading is None:
            return
        for name, text, value in (
            ("cpu_utilization_ratio", "CPU use of all cores, 0 to 1.", reading.cpu_percent / 100),
            ("memory_used_bytes", "Memory in use.", reading.memory_used_bytes),
            (
                "memory_available_bytes",
                "Memory available without swapping.",
                reading.memory_available_bytes,
            ),
            ("disk_used_bytes", "Used space on the root file system.", reading.disk_used_bytes),
            (
                "disk_available_bytes",
                "Free space on the root file system.",
                reading.disk_available_bytes,
            ),
        ):
            yield GaugeMetricFamily(f"mms_host_{name}", text, value)


def _add_histogram(
    family: HistogramMetricFamily, labels: Sequence[str], histogram: Histogram
) -> int:
    """Add one series with cumulative buckets; returns its count."""
    total = histogram.total
    count = 0
    buckets: list[tuple[str, float]] = []
    for bound, in_bucket in zip(
        (*histogram.bounds, math.inf), list(histogram.buckets), strict=True
    ):
        count += in_bucket
        buckets.append((_bucket_label(bound), count))
    family.add_metric(labels, buckets, total)
    return count


def _bucket_label(bound: float) -> str:
    return "+Inf" if bound == math.inf else repr(bound)
