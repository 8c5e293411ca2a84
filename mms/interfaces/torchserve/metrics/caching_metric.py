"""One metric: a name, a unit and the names of its dimensions. Each value is told at once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from mms.interfaces.torchserve.metrics.emitted import EMITTED, EmittedMetric
from mms.interfaces.torchserve.metrics.kinds import MetricTypes
from mms.metrics.dimension import Dimension

logger = logging.getLogger(__name__)

#: The unit of a call -> the word in a line. Other units are written as they are.
UNITS: dict[str | None, str] = {
    "ms": "Milliseconds",
    "s": "Seconds",
    "percent": "Percent",
    "count": "Count",
    "MB": "Megabytes",
    "GB": "Gigabytes",
    "kB": "Kilobytes",
    "B": "Bytes",
    "": "unit",
    None: "unit",
}


class CachingMetric:
    """A metric that handlers keep and update."""

    def __init__(
        self,
        metric_name: str,
        unit: str,
        dimension_names: list[str] | None = None,
        metric_type: MetricTypes = MetricTypes.COUNTER,
    ) -> None:
        self.metric_name = metric_name
        self.unit = UNITS.get(unit, unit)
        self.dimension_names = dimension_names or []
        self.metric_type = metric_type

    def __repr__(self) -> str:
        return f"<CachingMetric {self.metric_name}.{self.unit}>"

    def add_or_update(
        self, value: Any, dimension_values: Sequence[Any] = (), request_id: str = ""
    ) -> None:
        """Tell a value. One that does not fit is left out, and the log says so: a counter takes none below 0, and each
        name of a dimension has one value."""
        try:
            dimensions = self._dimensions(dimension_values)
            if self.metric_type is MetricTypes.COUNTER and value < 0:
                raise ValueError("Counter metric update value cannot be negative")
        except ValueError as error:
            logger.error(
                "Failed to update metric with name:%s and dimensions: %s with value: %s: %s",
                *(self.metric_name, dimension_values, value, error),
            )
            return
        self._emit(value, dimensions, request_id)

    def update(
        self, value: Any, request_id: str = "", dimensions: Sequence[Dimension] = ()
    ) -> None:
        """Tell a value with other dimensions than before, as handlers did before TorchServe 0.7."""
        logger.warning("Overriding existing dimensions")
        self.dimension_names = [dimension.name for dimension in dimensions]
        self.add_or_update(value, [dimension.value for dimension in dimensions], request_id)

    def emit_metrics(self, request_id: str, value: Any, dimension_string: str) -> None:
        """Tell a value whose dimensions are a text, `name:value,name:value`."""
        pairs = [text.partition(":") for text in dimension_string.split(",") if text]
        self._emit(value, [Dimension(name, its) for name, _, its in pairs], request_id)

    def _emit(self, value: Any, dimensions: list[Dimension], request_id: str) -> None:
        EMITTED.add(
            EmittedMetric(
                *(self.metric_name, value, self.unit, dimensions),
                *(self.metric_type, request_id or ""),
            )
        )

    def _dimensions(self, values: Sequence[Any] | None) -> list[Dimension]:
        if values is None or len(values) != len(self.dimension_names):
            raise ValueError(
                f"Dimension values: {values} should correspond to Dimension names: {self.dimension_names}"
            )
        return [
            Dimension(name, value) for name, value in zip(self.dimension_names, values, strict=True)
        ]
