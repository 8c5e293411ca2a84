"""Whether the records of a function's models are kept."""

from __future__ import annotations

from enum import Enum


class ModelMonitoringMode(str, Enum):
    """As MLRun's service tells it of a model's endpoint."""

    enabled = "enabled"
    disabled = "disabled"
