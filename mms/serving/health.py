"""Whether the server and its models can do their work, and if not, why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mms.core import WorkerState

if TYPE_CHECKING:
    from mms.serving.served.served_model import ServedModel

_STATES = {
    WorkerState.STARTING: "is starting",
    WorkerState.LOADING: "is loading the model",
    WorkerState.BACKOFF: "has ended and waits for its next start",
    WorkerState.DRAINING: "is ending",
}


def model_problems(served: ServedModel) -> list[str]:
    """Why a model cannot take requests, a line for each worker; empty where it can."""
    if served.is_ready:
        return []
    name = f"Model {served.name}" + (f" {served.version}" if served.version else "")
    if served.graph is not None:
        return [f"{name}: a model that it calls is not ready."]
    problems = []
    for worker in served.model.workers:
        reason = f" ({worker.reason})" if worker.reason else ""
        if worker.state is WorkerState.READY:
            problems.append(f"{name}: worker {worker.name} runs, its model is not loaded{reason}.")
        elif worker.state in _STATES:
            problems.append(f"{name}: worker {worker.name} {_STATES[worker.state]}{reason}.")
    return problems or [f"{name} has no workers."]


def server_problems(models: Iterable[ServedModel]) -> list[str]:
    """Those of all models that are to have workers. One with none on purpose is no problem of the server."""
    problems = []
    for served in models:
        if served.pool.min_workers > 0 or served.graph is not None:
            problems += model_problems(served)
    return problems


def ping_status(models: Iterable[ServedModel], *, is_strict: bool, missing: int = 0) -> str:
    """Healthy, Partial Healthy or Unhealthy, as MMS counts; `is_strict`: a worker counts only once it has loaded.

    `missing`: models that are to be there and are not.
    """
    required = running = 0
    for served in models:
        required += served.pool.min_workers
        for worker in served.model.workers:
            is_ready = worker.state is WorkerState.READY and worker.is_model_ready
            if is_ready or (not is_strict and worker.is_running):
                running += 1
    if running >= required and not missing:
        return "Healthy"
    return "Partial Healthy" if running else "Unhealthy"
