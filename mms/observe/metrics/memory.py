"""What connections hold in memory, and how often they were not read from for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mms.limits.memory import MemoryLimit

if TYPE_CHECKING:
    from prometheus_client.core import Metric


class MemoryMetrics:
    """Read in the thread of a scrape."""

    def __init__(self, memory: MemoryLimit) -> None:
        self._memory = memory

    def __repr__(self) -> str:
        return f"<MemoryMetrics of {self._memory!r}>"

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        memory = self._memory
        yield GaugeMetricFamily(
            "mms_buffered_bytes",
            "What connections hold of requests, and of answers that their clients have not taken.",
            memory.held_bytes,
        )
        yield GaugeMetricFamily(
            "mms_buffered_bytes_limit", "The setting max_buffered_memory.", memory.all_bytes
        )
        pauses = CounterMetricFamily(
            "mms_memory_pauses",
            "How often a connection was not read from for max_connection_memory or max_buffered_memory.",
            labels=("limit",),
        )
        pauses.add_metric(("max_connection_memory",), memory.pauses)
        pauses.add_metric(("max_buffered_memory",), memory.pauses_of_all)
        yield pauses
