"""Whether the server and its models can do their work, and if not, why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mms.core import WorkerState

if TYPE_CHECKING:
    from mms.serving.served import ServedModel


def server_problems(models: Iterable[ServedModel]) -> list[str]:
    """Those of all models that are to have workers. One with none on purpose is no problem of the server."""
    problems = []
    for served in models:
        if served.is_wanted:
            problems += served.problems()
    return problems


def ping_status(models: Iterable[ServedModel], *, is_strict: bool, missing: int = 0) -> str:
    """Healthy, Partial Healthy or Unhealthy, as MMS counts; `is_strict`: a worker counts only once it has loaded.

    `missing`: models that are to be there and are not.
    """
    required = running = 0
    for served in models:
        required += served.min_workers
        for worker in served.workers:
            is_ready = worker.state is WorkerState.READY and worker.is_model_ready
            if is_ready or (not is_strict and worker.is_running):
                running += 1
    if running >= required and not missing:
        return "Healthy"
    return "Partial Healthy" if running else "Unhealthy"
