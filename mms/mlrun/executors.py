"""How a router that asks all its routes does so."""

from __future__ import annotations

from enum import Enum

from mms.mlrun.routers import EXECUTORS


class ParallelRunnerModes(str, Enum):
    """`executor_type` by names."""

    array = "array"
    process = "process"
    thread = "thread"

    @staticmethod
    def all() -> list[ParallelRunnerModes]:
        return [ParallelRunnerModes(name) for name in EXECUTORS]
