"""Stands in for the package storey where that is not installed: the steps of it that flows of MLRun have here."""

from __future__ import annotations

from typing import Any

from mms.interfaces.absent_name import AbsentName
from mms.interfaces.mlrun.graph.model_runner import ParallelExecutionMechanisms
from mms.interfaces.mlrun.graph.steps.storey import STEPS, Flow, unsupported

__all__ = [
    "Choice",
    "Complete",
    "Extend",
    "Filter",
    "FlatMap",
    "Flow",
    "Map",
    "MapClass",
    "ParallelExecutionMechanisms",
]

globals().update(STEPS)


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    return AbsentName(f"storey.{name}", unsupported(f"storey.{name}"))
