"""Values as they were measured, on their way to the log and to Prometheus."""

from __future__ import annotations

import functools
import logging
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from mms.interfaces.torchserve.metrics.kinds import MetricTypes
from mms.metrics.dimension import Dimension

logger = logging.getLogger(__name__)

#: Between two batches; a handler's thread that measures on and on must not fill the memory while no request comes.
MOST_EMITTED: Final = 10_000
#: Asked once a process: the name of a machine stays.
_host_name = functools.cache(socket.gethostname)


class EmittedMetric:
    """A value. Its text is TorchServe's line in its log."""

    __slots__ = ("_kind", "_own", "_time_s", "name", "request_id", "unit", "value")

    def __init__(
        self,
        name: str,
        value: Any,
        unit: str,
        dimensions: Sequence[Dimension],
        kind: MetricTypes,
        request_id: str,
    ) -> None:
        self.name = name
        self.value = value
        self.unit = unit
        self.request_id = request_id
        self._own = dimensions
        self._kind = kind
        self._time_s = int(time.time())

    @property
    def dimensions(self) -> list[Dimension]:
        """Return its own, and the host's, which is a label of every metric of TorchServe's."""
        return [*self._own, Dimension("Hostname", _host_name())]

    @property
    def metric_method(self) -> str:
        return self._kind.value

    def __str__(self) -> str:
        dimensions = ",".join(map(str, self._own))
        request_ids = f",{self.request_id}" if self.request_id else ""
        return (
            f"{self.name}.{self.unit}:{_text(self.value)}|#{dimensions}"
            f"|#hostname:{_host_name()},{self._time_s}{request_ids}"
        )

    def __repr__(self) -> str:
        return f"<EmittedMetric {self.name}.{self.unit}:{self.value}>"


def _text(value: Any) -> str:
    """Return a value as TorchServe's log has it: a number with a fraction."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return f"{value}.0" if is_whole else str(value)


class EmittedMetrics:
    """The values since the worker last told the front of some."""

    def __init__(self) -> None:
        self._waiting: list[EmittedMetric] = []
        self._lost = 0

    def __repr__(self) -> str:
        return f"<EmittedMetrics {len(self._waiting)} waiting>"

    def __iter__(self) -> Iterator[EmittedMetric]:
        return iter(list(self._waiting))

    def add(self, metric: EmittedMetric) -> None:
        """Add one, from any thread."""
        if len(self._waiting) >= MOST_EMITTED:
            self._lost += 1
            return
        self._waiting.append(metric)

    def take(self) -> list[EmittedMetric]:
        """Return what has been added since the last call."""
        if not self._waiting:
            return self._waiting
        taken, self._waiting = self._waiting, []
        if self._lost:
            lost, self._lost = self._lost, 0
            logger.warning(
                "%d metrics are left out: more than %d were measured between two batches.",
                *(lost, MOST_EMITTED),
            )
        return taken


#: What takes a value that was measured.
Emit = Callable[[EmittedMetric], None]

#: Of this process. Metrics that a handler makes by themselves, without a cache, go here as well.
EMITTED: Final = EmittedMetrics()
