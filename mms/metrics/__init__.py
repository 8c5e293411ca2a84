"""Metrics that handlers report. The sub-modules are imported when they are asked for."""

from __future__ import annotations

import importlib
from types import ModuleType

_SUBMODULES = frozenset(
    {
        "dimension",
        "metric",
        "metric_encoder",
        "metrics_store",
        "process_memory_metric",
        "system_metrics",
        "unit",
    }
)


def __getattr__(name: str) -> ModuleType:
    if name in _SUBMODULES:
        return importlib.import_module(f"mms.metrics.{name}")
    raise AttributeError(f"module 'mms.metrics' has no attribute {name!r}")
