"""A cache of metrics that a file in YAML describes."""

from __future__ import annotations

from typing import Any

from mms.interfaces.torchserve.metrics.cache import MetricsCache
from mms.interfaces.torchserve.metrics.configuration import read_metrics, read_metrics_file


class MetricsCacheYamlImpl(MetricsCache):
    """Tests of handlers make one: `MetricsCacheYamlImpl(config_file_path=...)`, then `initialize_cache()`."""

    def __init__(self, config_file_path: str) -> None:
        """Raises MetricsCacheIOError and MetricsCachePyYamlError for a file that cannot be read."""
        super().__init__()
        self.config_file_path = config_file_path
        self._parsed_file: Any = read_metrics_file(config_file_path)

    def initialize_cache(self) -> None:
        """Add the metrics of the file. Raises MetricsCacheKeyError and MetricsCacheValueError."""
        self.configure(read_metrics(self._parsed_file))
