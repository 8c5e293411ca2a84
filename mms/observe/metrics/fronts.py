"""The processes that hold clients' connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from prometheus_client.core import Metric


class FrontCount(NamedTuple):
    """What a front process does. They are numbered from 1 on; `pid` is 0 while there is none."""

    number: int
    pid: int
    connections: int
    restarts: int


class FrontMetrics:
    """Read in the thread of a scrape. Without front processes there is nothing."""

    def __init__(self, counts: Callable[[], Sequence[FrontCount]]) -> None:
        self._counts = counts

    def __repr__(self) -> str:
        return f"<FrontMetrics of {len(self._counts())} processes>"

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        counts = self._counts()
        if not counts:
            return
        connections = GaugeMetricFamily(
            "mms_front_connections",
            "Connections of clients that a front process holds.",
            labels=("front",),
        )
        restarts = CounterMetricFamily(
            "mms_front_restarts",
            "How often another one had to take the place of a front process.",
            labels=("front",),
        )
        for count in counts:
            connections.add_metric((str(count.number),), count.connections)
            restarts.add_metric((str(count.number),), count.restarts)
        yield connections
        yield restarts
