"""Metrics of the machine. The functions add to `system_metrics`; `collect_all` calls all of them and logs."""

from __future__ import annotations

import importlib
import logging
import types
from typing import Any

from mms.metrics.dimension import Dimension
from mms.metrics.metric import Metric

system_metrics: list[Metric] = []
dimension = [Dimension("Level", "Host")]

_MEGABYTE = 1 << 20
_GIGABYTE = 1 << 30


class _Psutil:
    """psutil, imported at its first use: a handler that imports this module for its names does not need it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module("psutil"), name)


_psutil = _Psutil()


def cpu_utilization() -> None:
    _add("CPUUtilization", _psutil.cpu_percent(), "percent")


def memory_used() -> None:
    _add("MemoryUsed", _psutil.virtual_memory().used / _MEGABYTE, "MB")


def memory_available() -> None:
    _add("MemoryAvailable", _psutil.virtual_memory().available / _MEGABYTE, "MB")


def memory_utilization() -> None:
    _add("MemoryUtilization", _psutil.virtual_memory().percent, "percent")


def disk_used() -> None:
    _add("DiskUsage", _psutil.disk_usage("/").used / _GIGABYTE, "GB")


def disk_utilization() -> None:
    _add("DiskUtilization", _psutil.disk_usage("/").percent, "percent")


def disk_available() -> None:
    _add("DiskAvailable", _psutil.disk_usage("/").free / _GIGABYTE, "GB")


def collect_all(mod: types.ModuleType) -> None:
    """Call every public function of `mod` but this one, then log all metrics, one a line, and an empty line."""
    for name in dir(mod):
        value = getattr(mod, name)
        is_collector = isinstance(value, types.FunctionType) and not name.startswith("_")
        if is_collector and value.__name__ not in ("collect_all", "log_msg"):
            value()
    for metric in system_metrics:
        logging.info("%s", metric)
    logging.info("")


def _add(name: str, value: float, unit: str) -> None:
    system_metrics.append(Metric(name, value, unit, dimension))
