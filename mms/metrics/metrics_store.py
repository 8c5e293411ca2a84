"""What a handler reports its metrics to: `context.metrics`."""

from __future__ import annotations

from typing import Any

from mms.metrics.dimension import Dimension
from mms.metrics.metric import Metric


class MetricsStore:
    """The metrics of one batch, or of a load.

    `store`: the metrics in the order of their first value. `cache`: the same by
    `<name>-<unit>-<request ids>-<dimension>-...`; a call whose key is there already updates that metric.
    """

    def __init__(self, request_ids: dict[int, str] | str | None, model_name: str) -> None:
        """`request_ids`: index in the batch -> request id; or one id, or None, where there is no batch."""
        self.store: list[Metric] = []
        self.request_ids = request_ids
        self.model_name = model_name
        self.cache: dict[str, Metric] = {}

    def __repr__(self) -> str:
        return f"<MetricsStore of model {self.model_name}, {len(self.store)} metrics>"

    def add_counter(
        self,
        name: str,
        value: Any,
        idx: int | None = None,
        dimensions: list[Dimension] | None = None,
    ) -> None:
        """Count: values of the same name, request and dimensions add up."""
        self._add_to_model(name, value, idx, "count", dimensions, "counter")

    def add_time(
        self,
        name: str,
        value: Any,
        idx: int | None = None,
        unit: str = "ms",
        dimensions: list[Dimension] | None = None,
    ) -> None:
        """`unit`: ms or s, else ValueError."""
        if unit not in ("ms", "s"):
            raise ValueError("the unit for a timed metric should be one of ['ms', 's']")
        self._add_to_model(name, value, idx, unit, dimensions)

    def add_size(
        self,
        name: str,
        value: Any,
        idx: int | None = None,
        unit: str = "MB",
        dimensions: list[Dimension] | None = None,
    ) -> None:
        """`unit`: MB, kB, GB or B, else ValueError."""
        if unit not in ("MB", "kB", "GB", "B"):
            raise ValueError("The unit for size based metric is one of ['MB','kB', 'GB', 'B']")
        self._add_to_model(name, value, idx, unit, dimensions)

    def add_percent(
        self,
        name: str,
        value: Any,
        idx: int | None = None,
        dimensions: list[Dimension] | None = None,
    ) -> None:
        self._add_to_model(name, value, idx, "percent", dimensions)

    def add_error(self, name: str, value: Any, dimensions: list[Dimension] | None = None) -> None:
        """An error of the model. Belongs to no request."""
        own = [*_checked(dimensions), Dimension("Level", "Error")]
        self._add(name, value, None, "", own, None)

    def add_metric(
        self,
        name: str,
        value: Any,
        idx: int | str | None = None,
        unit: str | list[Dimension] | None = None,
        dimensions: list[Dimension] | None = None,
    ) -> None:
        """A metric of any unit. Also as MMS documents it: `add_metric(name, value, unit, dimensions)`."""
        if isinstance(idx, str):
            if isinstance(unit, list):
                dimensions = unit
            idx, unit = None, idx
        if unit is not None and not isinstance(unit, str):
            raise ValueError(f"the unit of a metric is a text, not {type(unit).__name__}")
        self._add_to_model(name, value, idx, unit, dimensions)

    def _add_to_model(
        self,
        name: str,
        value: Any,
        idx: int | None,
        unit: str | None,
        dimensions: list[Dimension] | None,
        method: str | None = None,
    ) -> None:
        own = [
            *_checked(dimensions),
            Dimension("ModelName", self.model_name),
            Dimension("Level", "Model"),
        ]
        self._add(name, value, self._request_id(idx), unit, own, method)

    def _add(
        self,
        name: str,
        value: Any,
        request_id: str | None,
        unit: str | None,
        dimensions: list[Dimension],
        method: str | None,
    ) -> None:
        key = "-".join([name, str(unit), str(request_id), *map(str, dimensions)])
        metric = self.cache.get(key)
        if metric is None:
            metric = Metric(name, value, unit, dimensions, request_id, method)
            self.store.append(metric)
            self.cache[key] = metric
        else:
            metric.update(value)

    def _request_id(self, idx: int | None) -> str | None:
        request_ids = self.request_ids
        if not isinstance(request_ids, dict):
            return None if request_ids is None else str(request_ids)
        if idx is not None and idx in request_ids:
            return request_ids[idx]
        return ",".join(request_ids.values())


def _checked(dimensions: list[Dimension] | None) -> list[Dimension]:
    if dimensions is None:
        return []
    if not isinstance(dimensions, list):
        raise ValueError("Please provide a list of dimensions")
    return dimensions
