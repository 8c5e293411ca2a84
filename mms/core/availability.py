"""Why a model takes no request now, for whoever asks it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import quote

from mms.core.scaling.load_backoff import LoadBackoff
from mms.core.worker import Worker, WorkerState
from mms.errors import InsufficientMemory, ServiceUnavailable

#: What clients are told of the reason: exceptions may say anything at any length.
_MAX_CHARS = 1000
_ON_THE_WAY_OUT = (WorkerState.DRAINING, WorkerState.STOPPED)


def failed_worker(workers: Iterable[Worker]) -> Worker | None:
    """Return the worker that is started again first, where each has failed to load and waits for its next start.

    None where some worker can come up for now.
    """
    failed: Worker | None = None
    for worker in workers:
        if worker.state in _ON_THE_WAY_OUT:
            continue
        if worker.state is not WorkerState.BACKOFF or not worker.load_error:
            return None
        if failed is None or worker.backoff_s < failed.backoff_s:
            failed = worker
    return failed


def free_places(workers: Iterable[Worker]) -> int:
    """Return how many requests workers could have at once."""
    return sum(
        worker.places if worker.is_continuous else worker.batch_size
        for worker in workers
        if worker.state is WorkerState.READY and worker.has_stream_room and not worker.in_flight
    )


def unavailable(
    name: str,
    version: str | None,
    workers: Sequence[Worker],
    backoff: LoadBackoff,
    retry_after_s: int,
    *,
    is_closed: bool = False,
    is_coming_up: bool = False,
    has_tickets: bool = False,
) -> ServiceUnavailable:
    """Return the error for a request that a model cannot queue; the beginning is MMS's text, which clients compare.

    `is_closed`: the model takes no more requests. `is_coming_up`: it gets its workers without anybody's order.
    `has_tickets`: no request may wait.
    """
    failed = failed_worker(workers)
    if failed is not None:
        return _not_loaded(name, failed.load_error, failed.backoff_s, failed.load_code)
    if backoff.reason and all(worker.state in _ON_THE_WAY_OUT for worker in workers):
        return _not_loaded(name, backoff.reason, backoff.wait_s, backoff.code)
    text = f"No worker is available to serve request for model: {name}. "
    if is_closed:
        return ServiceUnavailable(f"{text}It takes no more requests.", retry_after_s=retry_after_s)
    if has_tickets and workers:
        text += "All of its workers have work, and job_tickets lets no request wait."
    else:
        text += "Consider increasing job queue size."
    if not workers and not is_coming_up:
        order = f"PUT /models/{quote(name, safe='')}?min_worker=1"
        if version is not None:
            order += f"&model_version={quote(version, safe='')}"
        text += f" It has 0 workers; {order} on the management address starts one."
    return ServiceUnavailable(text, retry_after_s=retry_after_s)


def _not_loaded(name: str, reason: str, wait_s: int, code: int) -> ServiceUnavailable:
    kind = InsufficientMemory if code == InsufficientMemory.status else ServiceUnavailable
    return kind(
        f"Model {name} could not be loaded: {reason[:_MAX_CHARS]}", retry_after_s=max(wait_s, 1)
    )
