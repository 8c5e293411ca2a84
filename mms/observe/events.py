"""Log lines that parsers and scripts written for MMS search for, each with its logger, level and words."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from math import isfinite

from mms.core import ChosenPolicy
from mms.core.scaling.policy import ScalingDecision
from mms.observe import logger_names
from mms.observe.metrics.lines import one_line

_server = logging.getLogger(logger_names.MODEL_SERVER)
_manager = logging.getLogger(logger_names.MODEL_MANAGER)
_worker = logging.getLogger(logger_names.WORKER_THREAD)

STOPPED = "Model server stopped."
_STAGES = {
    "packages": "installs its packages",
    "process": "starts its process",
    "import": "imports the model's code",
    "load": "loads the model",
}


def listener_bound(api: str, address: str) -> None:
    """A listener is bound. `api`: `Inference` or `Management`."""
    _server.info("%s API bind to: %s", api, address)


def model_registered(model: str) -> None:
    """The archive is there; no worker has loaded it yet."""
    _manager.info("Model %s registered.", model, extra=of_model(model))


def model_loaded(model: str) -> None:
    """Its first worker has loaded it."""
    _manager.info("Model %s loaded.", model, extra=of_model(model))


def model_on_demand(model: str) -> None:
    """It has no workers until its first request."""
    _manager.info("Model %s is loaded when its first request comes.", model, extra=of_model(model))


def model_demanded(model: str, workers: int) -> None:
    """A request has found no worker, and has some started."""
    started = "1 worker starts" if workers == 1 else f"{workers} workers start"
    _manager.info("Model %s is loaded for a request: %s.", model, started, extra=of_model(model))


def model_scaled(model: str, full_name: str, decision: ScalingDecision) -> None:
    """Its workers have become more or fewer by its load, or may not become more."""
    _manager.info("Model %s: %s.", full_name, decision.line, extra=of_model(model))


def model_evicted(model: str, full_name: str, line: str) -> None:
    """It gives way, as the memory of all models is limited."""
    _manager.info(
        "Model %s is unloaded (memory_limit): %s.", full_name, line, extra=of_model(model)
    )


def models_alternate(model: str, other: str, limit: str) -> None:
    """Two models make each other give way. `limit`: what they do not fit into, in words."""
    _manager.warning(
        "Models %s and %s do not fit into %s together: they take turns, and each request "
        "for the other one waits for a load.",
        *(model, other, limit),
    )


def memory_exceeded(limit_name: str, line: str) -> None:
    """More memory is held than may be, and nothing can give way."""
    _manager.warning("%s is exceeded: %s.", limit_name, line)


def model_not_loaded(location: str, reason: str) -> None:
    """A model of the start-up list was left out. Names of files may have line ends."""
    _manager.warning("Failed to load model: %s (%s)", one_line(location), one_line(reason))


def model_unregistered(model: str) -> None:
    _manager.info("Model %s unregistered.", model, extra=of_model(model))


def batch_policy_changed(model: str, policy: ChosenPolicy) -> None:
    """How a model's batches form is different from now on."""
    _manager.info(
        "Model %s: batch_policy=%s from now on: %s.",
        *(model, policy.name, policy.reason),
        extra=of_model(model),
    )


def worker_loaded(worker: str, model: str, times: Mapping[str, float]) -> None:
    """A worker has loaded its model. `times`: seconds by what was done."""
    parts = ", ".join(f"{done} {took_s:.3f}" for done, took_s in times.items())
    _worker.info(
        "%s has loaded model %s in %.3f seconds: %s",
        *(worker, model, sum(times.values()), parts),
        extra=of_model(model, worker),
    )


def worker_loads(worker: str, model: str, stage: str, passed_s: float, limit_s: float) -> None:
    """A load takes long. `stage`: what it has been doing for so long. `limit_s`: that it may; 0: nobody says."""
    what = _STAGES[stage]
    limit = f", a load may take {limit_s:g}" if limit_s and isfinite(limit_s) else ""
    _worker.info(
        "%s of model %s: %s for %.0f seconds%s.",
        *(worker, model, what, passed_s, limit),
        extra=of_model(model, worker),
    )


def worker_disconnected(worker: str, model: str, state: str, reason: str = "") -> None:
    """The connection to a worker has ended, whoever ended it."""
    why = f" ({reason})" if reason else ""
    _worker.info("%s Worker disconnected. %s%s", worker, state, why, extra=of_model(model, worker))


def worker_retry(worker: str, model: str, delay_s: int) -> None:
    """A worker that ended is started again after this time."""
    _worker.info("Retry worker: %s in %d seconds.", worker, delay_s, extra=of_model(model, worker))


def request_ended_workers(worker: str, model: str, request_id: str) -> None:
    """A request failed since the worker that had it ended, and so did the one before."""
    _worker.error(
        "Request %s was running in two workers when they ended; it is not tried again.",
        request_id,
        extra=of_model(model, worker),
    )


def worker_unresponsive(worker: str, model: str, timeout_s: float, failures: int) -> None:
    """A load or a batch took longer than the response timeout. `failures`: such ends in a row."""
    extra = of_model(model, worker)
    _worker.error(
        "Number or consecutive unsuccessful inference %d", failures, extra=extra
    )  # MMS's own spelling
    _worker.error("Backend worker did not respond in given time", extra=extra)
    _worker.error(
        "Worker %s did not answer within %g seconds and is killed.", worker, timeout_s, extra=extra
    )


def of_model(model: str, worker: str = "") -> dict[str, str]:
    """Return what a record has besides its words: the model whose lines it is among, and the worker for its column."""
    return {"model": model, "thread_name": worker} if worker else {"model": model}
