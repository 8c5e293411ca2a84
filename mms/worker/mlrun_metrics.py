"""What a model says by `set_metric`, as Prometheus series."""

from __future__ import annotations

import math
import re
from typing import Any

_NO_NAME_CHARACTER = re.compile(r"[^a-zA-Z0-9_:]")


class MetricSeries:
    """Gauges of a model's numbers, each sent when it has changed."""

    def __init__(self, server: Any, model_name: str) -> None:
        self._server = server
        self._labels = {"model_name": model_name}
        version = getattr(server, "version", None)
        if version:
            self._labels["model_version"] = str(version)
        self._sent: dict[Any, float] = {}

    def __repr__(self) -> str:
        return f"<MetricSeries of {self._labels['model_name']}>"

    def take(self) -> list[dict[str, Any]]:
        """Those that are new since the last time. What is no number has no series."""
        metrics = self._server.metrics
        if not metrics:
            return []
        series = []
        for key, value in metrics.items():
            number = _number(value)
            if number is not None and self._sent.get(key) != number:
                self._sent[key] = number
                series.append(
                    {"type": "gauge", "name": _name(key), "labels": self._labels, "value": number}
                )
        return series


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _name(key: Any) -> str:
    name = _NO_NAME_CHARACTER.sub("_", str(key))
    return f"_{name}" if name[:1].isdigit() else name
