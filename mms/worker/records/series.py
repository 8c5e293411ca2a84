"""What a model measures, as updates of Prometheus series: `Metric.series` of `mms.wire`."""

from __future__ import annotations

import functools
import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mms.metrics.metric import Metric

_UNFIT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_:]")
_UNFIT_IN_LABELS = re.compile(r"[^a-zA-Z0-9_]")
#: Methods of metrics that are kinds of series.
_KINDS = ("counter", "histogram")


def series_of_metric(metric: Metric, model_version: str | None) -> list[dict[str, Any]]:
    """Return the update for a metric of `context.metrics`; none where its value is no number.

    Counters add up, histograms have values in buckets, all others are gauges. Dimensions become labels, beside the
    version of the model where it has one.
    """
    number = number_of(metric.value)
    if number is None:
        return []
    method = metric.metric_method
    labels = {"model_version": model_version} if model_version else {}
    for dimension in metric.dimensions:
        # As they stand in lines: whatever a handler gives has at least such a text.
        name, _, value = str(dimension).partition(":")
        labels[label_name(name)] = value
    return [
        {
            "type": method if method in _KINDS else "gauge",
            "name": series_name(str(metric.name)),
            "labels": labels,
            "value": number,
        }
    ]


def number_of(value: Any) -> float | None:
    """None for what is no finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


@functools.lru_cache(maxsize=1024)
def series_name(name: str) -> str:
    """Return a name as Prometheus has them."""
    fit = _UNFIT_IN_NAMES.sub("_", name)
    return f"_{fit}" if fit[:1].isdigit() else fit


@functools.lru_cache(maxsize=1024)
def label_name(name: str) -> str:
    """Return the name of a label; Prometheus keeps those that begin with two underscores for itself."""
    fit = _UNFIT_IN_LABELS.sub("_", name)
    if fit.startswith("__"):
        fit = fit.lstrip("_")
    return f"_{fit}" if not fit or fit[0].isdigit() else fit
