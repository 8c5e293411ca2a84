"""How long graphs and their nodes took, under the names and labels that dashboards of Seldon's executor query."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from mms.observe.metrics.aggregates import MAX_SERIES, OVERFLOW_MODEL, Histogram

if TYPE_CHECKING:
    from prometheus_client.core import HistogramMetricFamily, Metric

#: The executor's buckets, in seconds.
BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)


class ServerLabels(NamedTuple):
    """Labels of a request to a graph. `service`: predictions or feedback; `method`: post, or unary for gRPC."""

    code: str
    method: str
    service: str
    deployment_name: str
    predictor_name: str
    predictor_version: str


class ClientLabels(NamedTuple):
    """Labels of a call to a node. `service`: the call's path, such as /predict."""

    code: str
    method: str
    service: str
    deployment_name: str
    predictor_name: str
    predictor_version: str
    model_name: str
    model_image: str
    model_version: str


class GraphMetrics:
    """Owned by the event loop; a scrape reads it from another thread."""

    def __init__(self, max_series: int = MAX_SERIES) -> None:
        self._servers: dict[ServerLabels, Histogram] = {}
        self._clients: dict[ClientLabels, Histogram] = {}
        self._max_series = max_series

    def __repr__(self) -> str:
        return f"<GraphMetrics of {len(self._servers)} and {len(self._clients)} series>"

    def observe_server(self, labels: ServerLabels, elapsed_s: float) -> None:
        series = self._servers.get(labels)
        if series is None:
            if len(self._servers) >= self._max_series:
                labels = labels._replace(deployment_name=OVERFLOW_MODEL)
            series = self._servers.setdefault(labels, Histogram(BOUNDS_S))
        _observe(series, elapsed_s)

    def observe_client(self, labels: ClientLabels, elapsed_s: float) -> None:
        series = self._clients.get(labels)
        if series is None:
            if len(self._clients) >= self._max_series:
                labels = ClientLabels(labels.code, *("",) * 5, OVERFLOW_MODEL, "", "")
            series = self._clients.setdefault(labels, Histogram(BOUNDS_S))
        _observe(series, elapsed_s)

    def collect(self) -> Iterator[Metric]:
        """Yield the two families; none before a graph was asked."""
        if self._servers:
            yield _family(
                "seldon_api_executor_server_requests_seconds",
                "From a request to a graph to its reply.",
                ServerLabels._fields,
                list(self._servers.items()),
            )
        if self._clients:
            yield _family(
                "seldon_api_executor_client_requests_seconds",
                "Calls of graphs to their nodes.",
                ClientLabels._fields,
                list(self._clients.items()),
            )


def _observe(series: Histogram, elapsed_s: float) -> None:
    series.buckets[bisect_left(BOUNDS_S, elapsed_s)] += 1
    series.total += elapsed_s


def _family(
    name: str, text: str, labels: Sequence[str], found: Iterable[tuple[Sequence[str], Histogram]]
) -> HistogramMetricFamily:
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(name, text, labels=labels)
    for values, series in found:
        count = 0
        buckets: list[tuple[str, float]] = []
        for bound, in_bucket in zip((*BOUNDS_S, math.inf), list(series.buckets), strict=True):
            count += in_bucket
            buckets.append(("+Inf" if bound == math.inf else repr(bound), count))
        family.add_metric(values, buckets, series.total)
    return family
