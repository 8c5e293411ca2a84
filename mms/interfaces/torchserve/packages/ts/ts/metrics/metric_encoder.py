"""Metrics as JSON."""

from __future__ import annotations

import json
from typing import Any

from mms.metrics.dimension import Dimension

from .metric import Metric


class MetricEncoder(json.JSONEncoder):
    """Writes metrics and dimensions by their `to_dict()`."""

    def default(self, o: Any) -> Any:
        if isinstance(o, (Metric, Dimension)):
            return o.to_dict()
        return super().default(o)
