"""What became of the spans of traces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from prometheus_client.core import Metric


class SpanCounts(Protocol):
    """Counts of the export of spans."""

    exported: int
    failed: int
    dropped: int

    @property
    def waiting(self) -> int: ...


class TraceMetrics:
    """Its source is read in the thread of a scrape."""

    def __init__(self, counts: SpanCounts | None) -> None:
        """`counts`: None where no traces are made; there are no families then."""
        self._counts = counts

    def __repr__(self) -> str:
        return f"<TraceMetrics of {self._counts!r}>"

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        counts = self._counts
        if counts is None:
            return
        yield CounterMetricFamily(
            "mms_trace_spans_exported", "Spans that the collector took.", value=counts.exported
        )
        lost = CounterMetricFamily(
            "mms_trace_spans_lost",
            "Spans that are lost: the collector did not take them (export), or too many waited (queue).",
            labels=("cause",),
        )
        lost.add_metric(("export",), counts.failed)
        lost.add_metric(("queue",), counts.dropped)
        yield lost
        yield GaugeMetricFamily(
            "mms_trace_queue_length", "Spans that wait to be sent.", value=counts.waiting
        )
