"""What becomes of requests that are not answered as planned: their worker is lost, a decision failed, their model ends.

Synchronous and without I/O, as `ModelVersion` is, whose queue and whose workers' batches these functions take from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mms.core.request import Request
from mms.core.streams.open_stream import OpenStream
from mms.core.worker import Batch, Worker
from mms.errors import ServerError, UnexpectedError, WorkerFailure

if TYPE_CHECKING:
    from mms.core.model import ModelVersion

#: Deaths of workers after which a request is taken for their cause.
_POISON_DEATHS = 2
#: Workers of one node whose deaths in a row count once: a node that ends takes them all, one shortly after another.
_MOST_OF_A_NODE = 3


def lose_worker(model: ModelVersion, worker: Worker, now: float, cause: str = "") -> list[Request]:
    """Take what a worker had whose process or connection is gone. Each request goes back or fails.

    Returns those that failed since a worker ended with them for the second time. `cause`: that memory was used up, in
    words for their clients; empty where it was not, or nobody knows.

    Frames are in order, so the batch at the head was running, or an answer of it was on its way; those behind it
    may have been begun, if the worker held back answers for one write. After a crash all of them run singly, so
    that a request that kills workers is known by its second death. A worker that was killed because its batch took
    too long has told which batch that was: its requests fail.

    Where it may have ended for having fewer requests than its batch size, they are tried again by the fixed rule. If a
    full batch ends its worker then, too, that end counts for none that was in one before, as it was not alone.
    """
    batches = list(worker.in_flight)
    streams = worker.streams.take_all()
    is_crash = not worker.was_timed_out and model.config.has_retry
    running = {request for batch in batches for request in batch.requests}
    ended = [stream for stream in streams if stream.has_begun or stream.request not in running]
    poison = _lose_streams(model, ended, cause, worker.node, is_crash=is_crash)
    if not batches:
        return poison
    size = worker.batch_size
    is_unfilled = is_crash and model.policy.is_repeated_after_death(batches[0], size, now)
    is_refuted = is_crash and not is_unfilled and model.policy.is_refuted(batches[0], size)
    back: list[Request] = []
    for position, batch in enumerate(batches):
        for request in batch.requests:
            if request.is_done:
                continue
            if position == 0:
                if not is_crash:
                    request.fail(_died(cause))
                    continue
                if not (is_refuted and request.deaths):
                    request.deaths += (worker.node,)
                if _is_poison(request):
                    request.fail(_died(cause))
                    poison.append(request)
                    continue
            if not worker.was_timed_out and not is_unfilled:
                request.is_solo = True
            back.append(request)
    if is_unfilled:
        model.requeue_for_full_batch(back)
    else:
        model.requeue(back)
    worker.in_flight.clear()
    model.recount()
    return poison


def _lose_streams(
    model: ModelVersion, streams: Sequence[OpenStream], cause: str, node: str, *, is_crash: bool
) -> list[Request]:
    """Take the streams of a worker that is gone: what nothing has been sent of may begin once more, elsewhere.

    `node`: the worker's. Returns the requests that failed as `lose_worker` does.
    """
    poison = []
    back = []
    for stream in streams:
        request = stream.request
        if request.is_done:
            continue
        if is_crash and not stream.has_begun:
            request.deaths += (node,)
            if not _is_poison(request):
                request.is_solo = True
                back.append(request)
                continue
            poison.append(request)
        model.streams.failed += 1
        request.fail(_died(cause))
    model.requeue(back)
    return poison


def _is_poison(request: Request) -> bool:
    """Return whether so many workers have died with a request that it is taken for the cause."""
    count, before, in_a_row = 0, "", 0
    for node in request.deaths:
        in_a_row = in_a_row + 1 if node and node == before else 1
        if in_a_row == 1 or in_a_row > _MOST_OF_A_NODE:
            count += 1
        before = node
    return count >= _POISON_DEATHS


def _died(cause: str) -> WorkerFailure:
    # MMS's clients compare the plain text.
    return WorkerFailure(f"Worker died: {cause}.", 507) if cause else WorkerFailure("Worker died.")


def withdraw(model: ModelVersion, worker: Worker, batches: Sequence[Batch]) -> None:
    """Take back batches that could not be sent; nothing of them has left the front.

    One request alone is the reason itself, and fails. Several go back to be sent singly, which tells who it is.
    """
    requests = [request for batch in batches for request in batch.requests]
    for batch in batches:
        worker.in_flight.remove(batch)
    model.recount()
    if len(requests) == 1:
        requests[0].fail(UnexpectedError(requests[0].id))
        return
    for request in requests:
        request.is_solo = True
    model.requeue(requests)


def abandon(model: ModelVersion, worker: Worker) -> None:
    """Fail what a worker has: what is to become of it could not be decided."""
    batches = list(worker.in_flight)
    worker.in_flight.clear()
    model.recount()
    for stream in worker.streams.take_all():
        stream.request.fail(UnexpectedError(stream.request.id))
    for batch in batches:
        for request in batch.requests:
            request.fail(UnexpectedError(request.id))


def abandon_all(model: ModelVersion) -> None:
    """Fail all that is queued or runs, as `abandon` does. The model then takes requests as if it were new."""
    queue = model.take_all()
    for worker in model.workers:
        abandon(model, worker)
    for request in queue:
        request.fail(UnexpectedError(request.id))
    model.deadline_at = 0.0
    model.wake_at = None


def unfinished_ids(model: ModelVersion) -> list[bytes]:
    """Return the ids of the requests that are queued or run."""
    running = [r for w in model.workers for batch in w.in_flight for r in batch.requests]
    streaming = [stream.request for w in model.workers for stream in w.streams]
    return [request.id for request in (*model.queue, *running, *streaming) if not request.is_done]


def fail_queue(model: ModelVersion) -> None:
    """Answer everything that is queued with 503: no worker will come for it."""
    for request in model.take_all():
        request.fail(model.unavailable())


def fail_all(model: ModelVersion, error: ServerError) -> None:
    """Answer what is queued and what runs with an error: nobody waits for the workers any longer."""
    for request in model.take_all():
        if not request.is_done:
            request.fail(error)
    for worker in model.workers:
        for batch in worker.in_flight:
            for request in batch.requests:
                if not request.is_done:
                    request.fail(error)
        for stream in worker.streams:
            stream.request.fail(error)
            stream.close()
