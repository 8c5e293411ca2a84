"""What a model says by `set_metric`, as Prometheus series."""

from __future__ import annotations

from typing import Any

from mms.worker.records.series import number_of, series_name


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
        """Return those that are new since the last time. What is no number has no series."""
        metrics = self._server.metrics
        if not metrics:
            return []
        series = []
        for key, value in metrics.items():
            number = number_of(value)
            if number is not None and self._sent.get(key) != number:
                self._sent[key] = number
                series.append(
                    {
                        "type": "gauge",
                        "name": series_name(str(key)),
                        "labels": self._labels,
                        "value": number,
                    }
                )
        return series
