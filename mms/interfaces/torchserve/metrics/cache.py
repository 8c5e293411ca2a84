"""`context.metrics`: the metrics of a worker by kind and name, and the calls that make one and tell a value at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from mms.interfaces.torchserve.metrics.caching_metric import CachingMetric
from mms.interfaces.torchserve.metrics.kinds import (
    MetricsCacheKeyError,
    MetricsCacheTypeError,
    MetricsCacheValueError,
    MetricTypes,
    metric_type,
)
from mms.metrics.dimension import Dimension

#: What every worker of TorchServe's knows by its own configuration.
DEFAULT_METRICS: Final[tuple[Mapping[str, Any], ...]] = tuple(
    {"type": "gauge", "name": name, "unit": "ms", "dimensions": ["ModelName", "Level"]}
    for name in ("HandlerTime", "PredictionTime")
)
_TIME_UNITS: Final = ("ms", "s")
_SIZE_UNITS: Final = ("MB", "kB", "GB", "B")

_RequestIds = dict[int, str] | str | None


class MetricsCache:
    """The metrics of one worker.

    Each call takes `dimensions` besides those that every metric has, ModelName and Level, and `idx`, the place in the
    batch of the request that was measured; None is the whole batch. A list of dimensions that is handed in stays as it
    is.
    """

    def __init__(
        self, model_name: str = "", ask_ids: Callable[[], _RequestIds] = lambda: None
    ) -> None:
        """`ask_ids`: returns the ids of the running batch, where nobody sets them."""
        self.cache: dict[MetricTypes, dict[str, CachingMetric]] = {}
        self.store: list[Any] = []
        self.model_name = model_name
        self._ask_ids = ask_ids
        self._own_ids: _RequestIds = None

    def __repr__(self) -> str:
        count = sum(map(len, self.cache.values()))
        return f"<MetricsCache of model {self.model_name}, {count} metrics>"

    @property
    def request_ids(self) -> _RequestIds:
        """Place in the batch -> id; one id, or None, where there is no batch."""
        return self._own_ids if self._own_ids is not None else self._ask_ids()

    @request_ids.setter
    def request_ids(self, request_ids: _RequestIds) -> None:
        self._own_ids = request_ids

    def set_request_ids(self, request_ids: _RequestIds) -> None:
        self.request_ids = request_ids

    def configure(self, metrics: Iterable[Mapping[str, Any]]) -> None:
        """Add metrics of a configuration: each has `type`, `name`, `unit`, `dimensions`."""
        for metric in metrics:
            self.add_metric_to_cache(
                *(metric["name"], metric["unit"], list(metric["dimensions"])),
                MetricTypes(metric["type"]),
            )

    # Metrics to keep

    def add_metric_to_cache(
        self,
        metric_name: str,
        unit: str,
        dimension_names: list[str] | None = None,
        metric_type: Any = MetricTypes.COUNTER,
    ) -> CachingMetric:
        """Return a new metric, which takes the place of one of that kind and name. Raises MetricsCacheTypeError."""
        _check_text(metric_name, "metric_name")
        _check_text(unit, "unit")
        kind = _kind(metric_type)
        if dimension_names and not isinstance(dimension_names, list):
            raise MetricsCacheTypeError(
                "`dimension_names` should be a list of dimension name strings"
            )
        metric = CachingMetric(metric_name, unit, dimension_names, kind)
        self.cache.setdefault(kind, {})[metric_name] = metric
        return metric

    def get_metric(self, metric_name: str, metric_type: Any = MetricTypes.COUNTER) -> CachingMetric:
        """Raises MetricsCacheKeyError where there is none of that kind and name, and MetricsCacheTypeError."""
        _check_text(metric_name, "metric_name")
        kind = _kind(metric_type)
        found = self.cache.get(kind, {}).get(metric_name)
        if found is None:
            raise MetricsCacheKeyError(
                f"Metric of type '{kind}' and name '{metric_name}' doesn't exist"
            )
        return found

    def cache_keys(self) -> list[str]:
        """Return `<kind>:<name>` of each metric."""
        return [f"{kind.value}:{name}" for kind, metrics in self.cache.items() for name in metrics]

    # Values

    def add_metric(
        self,
        name: str,
        value: Any,
        unit: str,
        idx: Any = None,
        dimensions: list[Dimension] | None = None,
        metric_type: Any = MetricTypes.COUNTER,
    ) -> None:
        self._add(name, value, unit, idx, dimensions, metric_type)

    def add_counter(
        self, name: str, value: Any, idx: Any = None, dimensions: list[Dimension] | None = None
    ) -> None:
        self._add(name, value, "count", idx, dimensions, MetricTypes.COUNTER)

    def add_time(
        self,
        name: str,
        value: Any,
        idx: Any = None,
        unit: str = "ms",
        dimensions: list[Dimension] | None = None,
        metric_type: Any = MetricTypes.GAUGE,
    ) -> None:
        """`unit`: ms or s, else MetricsCacheValueError."""
        if unit not in _TIME_UNITS:
            raise MetricsCacheValueError(
                f"the unit for a timed metric should be one of {list(_TIME_UNITS)}"
            )
        self._add(name, value, unit, idx, dimensions, metric_type)

    def add_size(
        self,
        name: str,
        value: Any,
        idx: Any = None,
        unit: str = "MB",
        dimensions: list[Dimension] | None = None,
        metric_type: Any = MetricTypes.GAUGE,
    ) -> None:
        """`unit`: MB, kB, GB or B, else ValueError."""
        if unit not in _SIZE_UNITS:
            raise ValueError("The unit for size based metric is one of ['MB','kB', 'GB', 'B']")
        self._add(name, value, unit, idx, dimensions, metric_type)

    def add_percent(
        self,
        name: str,
        value: Any,
        idx: Any = None,
        dimensions: list[Dimension] | None = None,
        metric_type: Any = MetricTypes.GAUGE,
    ) -> None:
        self._add(name, value, "percent", idx, dimensions, metric_type)

    def add_error(self, name: str, value: Any, dimensions: list[Dimension] | None = None) -> None:
        """Tell of an error of the model, which belongs to no request."""
        own = self._with_usual(None, dimensions)
        self._metric(name, "", own, MetricTypes.COUNTER).add_or_update(
            value, [dimension.value for dimension in own]
        )

    def _add(
        self,
        name: str,
        value: Any,
        unit: str,
        idx: Any,
        dimensions: list[Dimension] | None,
        metric_type: Any,
    ) -> None:
        request_id = self._request_id(idx)
        own = self._with_usual(request_id, dimensions)
        metric = self._metric(name, unit, own, metric_type)
        metric.add_or_update(value, [dimension.value for dimension in own], request_id or "")

    def _metric(
        self, name: str, unit: str, dimensions: list[Dimension], metric_type: Any
    ) -> CachingMetric:
        try:
            return self.get_metric(name, metric_type)
        except MetricsCacheKeyError:
            names = [dimension.name for dimension in dimensions]
            return self.add_metric_to_cache(name, unit, names, metric_type)

    def _request_id(self, idx: Any) -> str | None:
        ids = self.request_ids
        if not isinstance(ids, dict):
            return ids
        if idx is not None and idx in ids:
            return ids[idx]
        return ",".join(ids.values())

    def _with_usual(
        self, request_id: str | None, dimensions: list[Dimension] | None
    ) -> list[Dimension]:
        own = list(dimensions or ())
        names = {dimension.name for dimension in own}
        if request_id is not None and "ModelName" not in names:
            own.append(Dimension("ModelName", self.model_name))
        if "Level" not in names:
            own.append(Dimension("Level", "Error" if request_id is None else "Model"))
        return own


def _check_text(value: Any, name: str) -> None:
    if not isinstance(value, str):
        raise MetricsCacheTypeError(f"`{name}` must be a str")


#: By another name than that of the parameters.
_kind = metric_type
