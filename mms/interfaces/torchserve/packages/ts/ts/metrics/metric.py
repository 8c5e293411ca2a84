"""A metric with its value, as handlers made them before TorchServe 0.7."""

from __future__ import annotations

import socket
import time
from collections import OrderedDict
from typing import Any

from mms.interfaces.torchserve.metrics.caching_metric import CachingMetric
from mms.metrics.dimension import Dimension

from .unit import Units

MetricUnit = Units()


class Metric:
    """A value that is told at each `update`."""

    def __init__(
        self,
        name: str,
        value: Any,
        unit: str,
        dimensions: list[Dimension],
        request_id: str | None = None,
        metric_method: str | None = None,
    ) -> None:
        self._metric = CachingMetric(name, unit, [dimension.name for dimension in dimensions])
        self.name = name
        self.unit = self._metric.unit
        self.value = value
        self.dimensions = dimensions
        self.request_id = request_id
        self.metric_method = metric_method

    def update(self, value: Any) -> None:
        values = [dimension.value for dimension in self.dimensions]
        self._metric.add_or_update(value, values, self.request_id or "")

    def reset(self) -> None:
        self.update(0)

    def __str__(self) -> str:
        dimensions = ",".join(map(str, self.dimensions))
        request_ids = f",{self.request_id}" if self.request_id else ""
        return (
            f"{self.name}.{self.unit}:{self.value}|#{dimensions}"
            f"|#hostname:{socket.gethostname()},{int(time.time())}{request_ids}"
        )

    def to_dict(self) -> OrderedDict[str, Any]:
        return OrderedDict(
            MetricName=self.name,
            Value=self.value,
            Unit=self.unit,
            Dimensions=self.dimensions,
            Timestamp=int(time.time()),
            HostName=socket.gethostname(),
            RequestId=self.request_id,
        )
