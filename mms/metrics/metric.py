"""One metric and its line."""

from __future__ import annotations

import functools
import socket
import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from mms.metrics.dimension import Dimension
from mms.metrics.unit import Units

MetricUnit = Units()

#: Asked once a process: a look-up for each line would be a system call, and the name of a machine stays.
_host_name = functools.cache(socket.gethostname)


class Metric:
    """A measured value.

    `request_id`: of the request or requests that were measured, joined by commas; none for the model itself.
    `metric_method`: `counter` where further values are added up, else they replace the value.
    """

    def __init__(
        self,
        name: str,
        value: Any,
        unit: str | None,
        dimensions: Iterable[Dimension],
        request_id: str | None = None,
        metric_method: str | None = None,
    ) -> None:
        self.name = name
        self.unit = MetricUnit.units.get(unit, unit)
        self.metric_method = metric_method
        self.value = value
        self.dimensions = dimensions
        self.request_id = request_id

    def update(self, value: Any) -> None:
        if self.metric_method == "counter":
            self.value += value
        else:
            self.value = value

    def __str__(self) -> str:
        """The line `<Name>.<Unit>:<value>|#<dimensions>|#hostname:<host>,<epoch seconds>[,<request ids>]`."""
        dimensions = ",".join(map(str, self.dimensions))
        request_ids = f",{self.request_id}" if self.request_id else ""
        return (
            f"{self.name}.{self.unit}:{self.value}|#{dimensions}"
            f"|#hostname:{_host_name()},{int(time.time())}{request_ids}"
        )

    def __repr__(self) -> str:
        return f"<Metric {self.name}.{self.unit}:{self.value}>"

    def to_dict(self) -> OrderedDict[str, Any]:
        return OrderedDict(
            MetricName=self.name,
            Value=self.value,
            Unit=self.unit,
            Dimensions=self.dimensions,
            Timestamp=int(time.time()),
            HostName=_host_name(),
            RequestId=self.request_id,
        )
