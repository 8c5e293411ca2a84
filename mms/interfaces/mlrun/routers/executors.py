"""How steps that ask several models do so, by MLRun's and storey's names."""

from __future__ import annotations

from enum import Enum

from mms.interfaces.mlrun.routers.routers import EXECUTORS


class ParallelRunnerModes(str, Enum):
    """`executor_type` by names."""

    array = "array"
    process = "process"
    thread = "thread"

    @staticmethod
    def all() -> list[ParallelRunnerModes]:
        return [ParallelRunnerModes(name) for name in EXECUTORS]


class ParallelExecutionMechanisms(str, Enum):
    """`execution_mechanism` of a ModelRunnerStep's models, by names."""

    process_pool = "process_pool"
    dedicated_process = "dedicated_process"
    thread_pool = "thread_pool"
    asyncio = "asyncio"
    shared_executor = "shared_executor"
    naive = "naive"
