"""Counts and histograms of requests and batches since the start: plain lists, filled in bulk, read at a scrape."""

from __future__ import annotations

from bisect import bisect_right

#: Upper bounds of latency buckets in seconds: from handlers of microseconds to slow models.
TIME_BOUNDS_S = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
)
SIZE_BOUNDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)

#: Label sets that are counted apart. Later ones count together under this name, so that memory stays bounded.
MAX_SERIES = 10_000
OVERFLOW_MODEL = "_other"


class Histogram:
    """`buckets[i]` counts values of at most `bounds[i]` and over the bound before; the last one the rest."""

    __slots__ = ("bounds", "buckets", "total")

    def __init__(self, bounds: tuple[float, ...] = TIME_BOUNDS_S) -> None:
        self.bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)
        self.total = 0.0

    def __repr__(self) -> str:
        return f"<Histogram of {self.count} values, {self.total:g} in total>"

    @property
    def count(self) -> int:
        return sum(self.buckets)

    def observe_all(self, values: list[float]) -> None:
        """Count values in bulk; sorts the list in place, which costs less than a search for each of them."""
        values.sort()
        buckets = self.buckets
        below = 0
        for index, bound in enumerate(self.bounds):
            count = bisect_right(values, bound)
            if count != below:
                buckets[index] += count - below
                below = count
        buckets[-1] += len(values) - below
        self.total += sum(values)


class SizeSeries:
    """The batches of one size of a model version; times in seconds.

    `coded`: those whose tensors were read and written by this server, which is timed.
    """

    __slots__ = ("coded", "count", "entry_point_s", "reading_s", "writing_s")

    def __init__(self) -> None:
        self.count = 0
        self.entry_point_s = 0.0
        self.coded = 0
        self.reading_s = 0.0
        self.writing_s = 0.0

    def __repr__(self) -> str:
        return f"<SizeSeries of {self.count} batches>"


class BatchSeries:
    """The batches of one model version."""

    __slots__ = (
        *("by_size", "failures", "first_chunk", "handler", "last_at", "last_handler_s"),
        *("last_queue_s", "queue", "sizes"),
    )

    def __init__(self) -> None:
        #: Seconds that each request waited.
        self.queue = Histogram()
        #: Seconds that each batch was in the entry point.
        self.handler = Histogram()
        #: Requests of each batch.
        self.sizes = Histogram(SIZE_BOUNDS)
        self.failures = 0
        #: Seconds from a request to the first part of its answer, of streams.
        self.first_chunk = Histogram()
        #: By how many requests they had.
        self.by_size: dict[int, SizeSeries] = {}
        #: When the last one ended, in seconds since the epoch.
        self.last_at = 0.0
        #: Of that one, and of its last request.
        self.last_handler_s = self.last_queue_s = 0.0

    def of_size(self, size: int) -> SizeSeries:
        series = self.by_size.get(size)
        if series is None:
            series = self.by_size[size] = SizeSeries()
        return series


class Aggregates:
    """Every series since the start of the server. Changed by the recorder's flush alone, on the event loop."""

    def __init__(self, max_series: int = MAX_SERIES) -> None:
        #: By (model, version, status); the model is "" where a response is no prediction.
        self.requests: dict[tuple[str, str, int], Histogram] = {}
        #: By (model, version).
        self.batches: dict[tuple[str, str], BatchSeries] = {}
        self._max_series = max_series

    def __repr__(self) -> str:
        return f"<Aggregates of {len(self.requests)} request and {len(self.batches)} batch series>"

    def request_series(self, model: str, version: str, status: int) -> Histogram:
        """Return the elapsed seconds of the responses with these labels."""
        series = self.requests.get((model, version, status))
        if series is None:
            if len(self.requests) >= self._max_series:
                model, version = OVERFLOW_MODEL, ""
            series = self.requests.setdefault((model, version, status), Histogram())
        return series

    def batch_series(self, model: str, version: str) -> BatchSeries:
        series = self.batches.get((model, version))
        if series is None:
            if len(self.batches) >= self._max_series:
                model, version = OVERFLOW_MODEL, ""
            series = self.batches.setdefault((model, version), BatchSeries())
        return series
