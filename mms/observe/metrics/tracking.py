"""What became of the records that models make of their requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from prometheus_client.core import Metric


class _Counts(Protocol):
    written: int
    dropped: int


class StreamCounts(Protocol):
    """Counts of one model's stream (`records` or `errors`)."""

    model: str
    version: str
    stream: str

    @property
    def counts(self) -> _Counts: ...


class TrackingMetrics:
    """Its sources are read in the thread of a scrape."""

    def __init__(
        self,
        counts: Callable[[], Iterable[StreamCounts]],
        waiting: Callable[[], Iterable[tuple[str, int]]],
    ) -> None:
        """`waiting`: (address of a sink, records that wait for it)."""
        self._counts = counts
        self._waiting = waiting

    def __repr__(self) -> str:
        return f"<TrackingMetrics of {len(list(self._counts()))} streams>"

    def collect(self) -> Iterator[Metric]:
        """Yield the families; none before a model was tracked."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        streams = list(self._counts())
        if not streams:
            return
        labels = ("model", "version", "stream")
        written = CounterMetricFamily(
            "mms_tracking_records_written", "Records that their sink took.", labels=labels
        )
        dropped = CounterMetricFamily(
            "mms_tracking_records_dropped",
            "Records lost because their queue was full or their sink did not take them.",
            labels=labels,
        )
        for stream in streams:
            values = (stream.model, stream.version, stream.stream)
            written.add_metric(values, stream.counts.written)
            dropped.add_metric(values, stream.counts.dropped)
        yield written
        yield dropped
        waiting = GaugeMetricFamily(
            "mms_tracking_queue_length", "Records that wait for a sink.", labels=("sink",)
        )
        for address, count in self._waiting():
            waiting.add_metric((address,), count)
        yield waiting
