"""Metric dicts, and a collection of them within this process."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

from mms.interfaces.seldon.series import (
    COUNTER,
    GAUGE,
    METHODS,
    TIMER,
    default_labels,
    is_valid,
    reward_series,
    series_of,
    split_image,
)
from mms.interfaces.seldon.series import FEEDBACK_KEY as FEEDBACK_KEY
from mms.interfaces.seldon.series import FEEDBACK_REWARD_KEY as FEEDBACK_REWARD_KEY
from mms.interfaces.seldon.series import predictor_version as _predictor_version

from ._elsewhere import names_elsewhere

__getattr__ = names_elsewhere(__name__)

DEFAULT_LABELS = default_labels()
#: Bounds of the buckets of timers, in seconds.
BINS = [
    0,
    *(10 ** (-3 + index * (math.log10(30) + 3) / 49) for index in range(50)),
    math.inf,
]
image = os.environ.get("PREDICTIVE_UNIT_IMAGE", "NOT_IMPLEMENTED:NOT_IMPLEMENTED")
model_image, model_version = split_image(image)
predictor_version = _predictor_version()
legacy_mode = os.environ.get("SELDON_EXECUTOR_ENABLED", "true").lower() == "false"

PREDICT_METRIC_METHOD_TAG = METHODS["predict"]
INPUT_TRANSFORM_METRIC_METHOD_TAG = METHODS["transform-input"]
OUTPUT_TRANSFORM_METRIC_METHOD_TAG = METHODS["transform-output"]
ROUTER_METRIC_METHOD_TAG = METHODS["route"]
AGGREGATE_METRIC_METHOD_TAG = METHODS["aggregate"]
FEEDBACK_METRIC_METHOD_TAG = METHODS["send-feedback"]
HEALTH_METRIC_METHOD_TAG = METHODS["health-status"]


def create_counter(key: str, value: float) -> dict[str, Any]:
    """A metric that adds `value`. Raises TypeError unless it is a number."""
    return _metric(COUNTER, key, value)


def create_gauge(key: str, value: float) -> dict[str, Any]:
    """A metric that is `value` from now on. Raises TypeError unless it is a number."""
    return _metric(GAUGE, key, value)


def create_timer(key: str, value: float) -> dict[str, Any]:
    """A metric that observes `value` milliseconds. Raises TypeError unless it is a number."""
    return _metric(TIMER, key, value)


def _metric(kind: str, key: str, value: float) -> dict[str, Any]:
    # Whatever a number can be added to counts as one: numpy's numbers do.
    value + 1
    return {"key": key, "type": kind, "value": value}


def validate_metrics(metrics: Any) -> bool:
    return is_valid(metrics)


def split_image_tag(tag: str) -> tuple[str, str]:
    return split_image(tag)


class SeldonMetrics:
    """Series of one process: worker -> (type, name, tags) -> value; a histogram's are its observations."""

    def __init__(
        self,
        worker_id_func: Callable[[], Any] = os.getpid,
        extra_default_labels: dict[str, str] | None = None,
    ) -> None:
        self.worker_id_func = worker_id_func
        self.data: dict[Any, dict[tuple[str, str, str], dict[str, Any]]] = {}
        self._labels = {**DEFAULT_LABELS, **(extra_default_labels or {})}

    def update(self, custom_metrics: list[dict[str, Any]], method: str) -> None:
        for update in series_of(custom_metrics, method, {}):
            self.add_series(update)

    def update_reward(self, reward: float) -> None:
        for update in reward_series(reward, {}):
            self.add_series(update)

    def collect(self) -> list[dict[str, Any]]:
        """The series with all their labels, as `{"type", "name", "labels", "value"}`."""
        return [
            {
                "type": kind,
                "name": name,
                "labels": {**series["tags"], **self._labels, "worker_id": str(worker)},
                "value": series["value"],
            }
            for worker, found in self.data.items()
            for (kind, name, _), series in found.items()
        ]

    def clear(self) -> None:
        """Drops the series of the current worker."""
        self.data.pop(self.worker_id_func(), None)

    def add_series(self, update: dict[str, Any]) -> None:
        """Count one update, as `mms.interfaces.seldon.series` makes them."""
        tags = update["labels"]
        key = (update["type"], update["name"], repr(sorted(tags.items())))
        series = self.data.setdefault(self.worker_id_func(), {})
        value = update["value"]
        if key in series and update["type"] == "counter":
            value += series[key]["value"]
        if update["type"] == "histogram":
            value = [*(series[key]["value"] if key in series else ()), value]
        series[key] = {"value": value, "tags": tags}
