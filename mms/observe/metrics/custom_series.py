"""Metrics that models make themselves, added up over their workers, and their Prometheus families.

Counters belong to the server: they go on when a worker ends and another takes its place. Names, labels and buckets are
those that dashboards of components know.
"""

from __future__ import annotations

import logging
import math
import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from mms.interfaces import INTERFACES
from mms.observe.metrics.aggregates import Histogram
from mms.text.brief import brief

if TYPE_CHECKING:
    from prometheus_client.core import Metric

logger = logging.getLogger("mms.observe")

_Labels: TypeAlias = tuple[tuple[str, str], ...]

#: Series that are counted apart; those of histograms have 53 lines each. Models choose labels, so there is a limit.
MAX_SERIES = 2_000
#: Names that were complained about once.
_MAX_COMPLAINTS = 1_000

_BINS = 50
_FIRST_S, _LAST_S = 0.001, 30.0


def _bounds_s() -> tuple[float, ...]:
    # Computed in this order, the labels have the very digits that dashboards know.
    low, high = math.log10(_FIRST_S), math.log10(_LAST_S)
    step = (high - low) / (_BINS - 1)
    return (*(10.0 ** (i * step + low) for i in range(_BINS - 1)), 10.0**high)


#: Upper bounds of the buckets of timers, in seconds.
BOUNDS_S = _bounds_s()

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
#: The server's own families have these names.
_OWN = (
    *("mms_", "process_"),
    *(prefix for interface in INTERFACES for prefix in interface.metric_prefixes),
)
#: What Prometheus appends to the names of a family's lines.
_SUFFIXES = {
    "counter": ("", "_total", "_created"),
    "gauge": ("",),
    "histogram": ("", "_bucket", "_count", "_sum", "_created"),
}
_WORKER_ID = "worker_id"


class _Series:
    """One label set. `models`: those that it came from."""

    __slots__ = ("histogram", "models", "value")

    def __init__(self, kind: str) -> None:
        self.value = 0.0
        self.histogram = Histogram(BOUNDS_S) if kind == "histogram" else None
        self.models: set[str] = set()

    def update(self, kind: str, value: float) -> None:
        if self.histogram is not None:
            self.histogram.buckets[bisect_left(BOUNDS_S, value)] += 1
            self.histogram.total += value
        elif kind == "counter":
            self.value += value
        else:
            self.value = value


class _Family:
    __slots__ = ("kind", "series")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.series: dict[_Labels, _Series] = {}


class CustomSeries:
    """Owned by the event loop; a scrape reads it from another thread."""

    def __init__(self, *, has_worker_id: bool = False, max_series: int = MAX_SERIES) -> None:
        """`has_worker_id`: each worker's process has series of its own, labelled `worker_id`."""
        self._has_worker_id = has_worker_id
        self._max_series = max_series
        self._families: dict[str, _Family] = {}
        #: Name of a line -> family that has it.
        self._taken: dict[str, str] = {}
        self._count = 0
        self._is_full = False
        self._complaints: set[str] = set()

    def __repr__(self) -> str:
        return f"<CustomSeries: {self._count} of {len(self._families)} families>"

    def add(self, model: str, pid: int, updates: Iterable[Mapping[str, Any]]) -> None:
        """Count what a worker tells: `{"type", "name", "labels", "value"}`, the type counter, gauge or histogram.

        Values of histograms are in seconds. An update that cannot be shown is left out; the log says so once.
        """
        for update in updates:
            try:
                kind, name = str(update["type"]), str(update["name"])
                value = float(update["value"])
                labels = {str(k): _text(v) for k, v in (update.get("labels") or {}).items()}
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
                self._complain(model, "?", f"it is malformed ({type(error).__name__}: {error})")
                continue
            self._add(model, pid, kind, name, value, labels)

    def _add(
        self, model: str, pid: int, kind: str, name: str, value: float, labels: dict[str, str]
    ) -> None:
        if kind == "counter":
            name = name.removesuffix("_total")
        family = self._families.get(name)
        if family is None or family.kind != kind:
            reason = self._why_not(kind, name)
            if reason:
                self._complain(model, name, reason)
                return
            family = _Family(kind)
        if kind != "gauge" and not math.isfinite(value):
            self._complain(model, name, f"a {kind} cannot take the value {value}")
            return
        if self._has_worker_id:
            labels.setdefault(_WORKER_ID, str(pid))
        else:
            labels.pop(_WORKER_ID, None)
        key = tuple(sorted(labels.items()))
        series = family.series.get(key)
        if series is None:
            wrong = [label for label in labels if not _is_label(kind, label)]
            if wrong:
                self._complain(model, name, f"{brief(wrong[0])} is not a name for a label")
                return
            if self._count >= self._max_series:
                self._tell_full(model, name)
                return
            series = family.series[key] = _Series(kind)
            self._count += 1
            if name not in self._families:
                self._families[name] = family
                self._taken |= dict.fromkeys((name + end for end in _SUFFIXES[kind]), name)
        series.models.add(model)
        series.update(kind, value)

    def _why_not(self, kind: str, name: str) -> str:
        """Return why there can be no such family; "" where there can."""
        suffixes = _SUFFIXES.get(kind)
        if suffixes is None:
            return f"{brief(kind)} is not a type of metric"
        if not _NAME.fullmatch(name):
            return "it is not a name that Prometheus allows"
        if name.startswith(_OWN):
            return "such names are reserved for the server"
        other = next((self._taken[name + end] for end in suffixes if name + end in self._taken), "")
        return f"its name clashes with {self._families[other].kind} {other}" if other else ""

    def _complain(self, model: str, name: str, reason: str) -> None:
        if name not in self._complaints and len(self._complaints) < _MAX_COMPLAINTS:
            self._complaints.add(name)
            logger.warning("Metric %s of model %s is left out: %s.", brief(name), model, reason)

    def _tell_full(self, model: str, name: str) -> None:
        if not self._is_full:
            self._is_full = True
            logger.warning(
                "Models have made %d series of metrics; new ones are left out, as of %s of model %s. A label whose "
                "values do not repeat makes a series for each.",
                self._max_series,
                brief(name),
                model,
            )

    def keep(self, models: Collection[str]) -> None:
        """Forget the series of all other models."""
        names = set(models)
        for name, family in list(self._families.items()):
            for key, series in list(family.series.items()):
                series.models &= names
                if not series.models:
                    del family.series[key]
                    self._count -= 1
            if not family.series:
                del self._families[name]
                for end in _SUFFIXES[family.kind]:
                    self._taken.pop(name + end, None)
        self._is_full = self._is_full and self._count >= self._max_series

    def collect(self) -> Iterator[Metric]:
        """Yield a family for each name."""
        from prometheus_client.core import Metric

        for name, family in list(self._families.items()):
            metric = Metric(name, "Made by a model.", family.kind)
            for key, series in list(family.series.items()):
                _add_samples(metric, family.kind, dict(key), series)
            yield metric


def _text(value: Any) -> str:
    # What JSON can escape and UTF-8 cannot hold would break the whole text.
    return str(value).encode("utf-8", "replace").decode()


def _is_label(kind: str, label: str) -> bool:
    return _LABEL.fullmatch(label) is not None and not (kind == "histogram" and label == "le")


def _add_samples(metric: Metric, kind: str, labels: dict[str, str], series: _Series) -> None:
    name = metric.name
    histogram = series.histogram
    if histogram is None:
        metric.add_sample(f"{name}_total" if kind == "counter" else name, labels, series.value)
        return
    total = histogram.total
    count = 0
    for bound, in_bucket in zip(
        (*(repr(bound) for bound in BOUNDS_S), "+Inf"), list(histogram.buckets), strict=True
    ):
        count += in_bucket
        metric.add_sample(f"{name}_bucket", {**labels, "le": bound}, count)
    metric.add_sample(f"{name}_count", labels, count)
    metric.add_sample(f"{name}_sum", labels, total)
