"""The log, and metrics of the model's own."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from typing import Any, ClassVar

_lock = threading.Lock()
_updates: list[dict[str, Any]] = []
_MOST_UPDATES = 100_000


def take_updates() -> list[dict[str, Any]]:
    """Return what has been counted and set since the last time; for whoever runs the model."""
    with _lock:
        taken = list(_updates)
        _updates.clear()
    return taken


class Logger:
    """Lines of the model's log."""

    INFO: ClassVar = 0
    WARNING: ClassVar = 1
    ERROR: ClassVar = 2
    VERBOSE: ClassVar = 3

    @staticmethod
    def log(message: str, level: int = INFO) -> None:
        """Verbose lines are left out, as they are by default."""
        if level != Logger.VERBOSE:
            sys.stderr.write(f"{message}\n")

    @staticmethod
    def log_info(message: str) -> None:
        Logger.log(message, Logger.INFO)

    @staticmethod
    def log_warn(message: str) -> None:
        Logger.log(message, Logger.WARNING)

    @staticmethod
    def log_error(message: str) -> None:
        Logger.log(message, Logger.ERROR)

    @staticmethod
    def log_verbose(message: str) -> None:
        Logger.log(message, Logger.VERBOSE)


class MetricFamily:
    """Metrics of one name."""

    COUNTER: ClassVar = "counter"
    GAUGE: ClassVar = "gauge"
    HISTOGRAM: ClassVar = "histogram"

    def __init__(self, name: str, description: str, kind: str) -> None:
        if kind not in (self.COUNTER, self.GAUGE, self.HISTOGRAM):
            raise ValueError(f"kind {kind!r} is none of MetricFamily.COUNTER, GAUGE and HISTOGRAM")
        self.name = name
        self.description = description
        self.kind = kind

    def __repr__(self) -> str:
        return f"<MetricFamily {self.name}, {self.kind}>"

    def Metric(  # Triton's name for it
        self, labels: Mapping[str, str] | None = None, buckets: Any = None
    ) -> Metric:
        return Metric(self, labels)


class Metric:
    """One of a family, with its labels. A histogram's values are seconds."""

    def __init__(self, family: MetricFamily, labels: Mapping[str, str] | None = None) -> None:
        self._family = family
        self._labels = dict(labels or {})
        self._value = 0.0

    def __repr__(self) -> str:
        return f"<Metric {self._family.name} {self._labels}, {self._value}>"

    def increment(self, value: float) -> None:
        """Raises ValueError for less than 0 of a counter, and for a histogram."""
        kind = self._family.kind
        if kind == MetricFamily.HISTOGRAM or (kind == MetricFamily.COUNTER and value < 0):
            raise ValueError(f"a {kind} cannot be incremented by {value}")
        self._value += value
        self._note(value if kind == MetricFamily.COUNTER else self._value)

    def set(self, value: float) -> None:
        """Raises ValueError for what is no gauge."""
        if self._family.kind != MetricFamily.GAUGE:
            raise ValueError(f"a {self._family.kind} cannot be set")
        self._value = value
        self._note(value)

    def observe(self, value: float) -> None:
        """Raises ValueError for what is no histogram."""
        if self._family.kind != MetricFamily.HISTOGRAM:
            raise ValueError(f"a {self._family.kind} observes nothing")
        self._note(value)

    def value(self) -> float:
        return self._value

    def _note(self, value: float) -> None:
        update = {
            "type": self._family.kind,
            "name": self._family.name,
            "labels": dict(self._labels),
            "value": float(value),
        }
        with _lock:
            if len(_updates) < _MOST_UPDATES:
                _updates.append(update)
