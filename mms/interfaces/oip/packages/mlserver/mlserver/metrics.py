"""Metrics of a model's own."""

from __future__ import annotations

import threading
from typing import Any

_MOST_UPDATES = 100_000
_lock = threading.Lock()
_updates: list[dict[str, Any]] = []


class MetricNotFound(Exception):
    """A metric that nobody has registered."""


_registered: set[str] = set()


def register(name: str, description: str) -> str:
    """Make a metric known; its values are what `log` is given."""
    _registered.add(name)
    return name


def log(**metrics: float) -> None:
    """Note a value of each metric. Raises MetricNotFound for one that is not registered."""
    for name, value in metrics.items():
        if name not in _registered:
            raise MetricNotFound(f"Metric {name} was not registered")
        with _lock:
            if len(_updates) < _MOST_UPDATES:
                _updates.append(
                    {"type": "histogram", "name": name, "labels": {}, "value": float(value)}
                )


def take_updates() -> list[dict[str, Any]]:
    """Return what has been noted since the last time; for whoever runs the model."""
    with _lock:
        taken = list(_updates)
        _updates.clear()
    return taken
