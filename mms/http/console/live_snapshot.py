"""What the console shows of a server at one moment: JSON-able, made of counters that are there anyway."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from mms.observe.metrics.aggregates import SIZE_BOUNDS, TIME_BOUNDS_S, Aggregates, BatchSeries
from mms.serving.observed_models import snapshot_of
from mms.serving.served import PooledModel
from mms.version import __version__

if TYPE_CHECKING:
    from mms.observe import FrontCount, Recorder
    from mms.serving import ModelHost, ServedModel

#: Models that a snapshot has in full; where there are more, those with trouble and with requests come first.
MOST_MODELS: Final = 200
#: Workers of one model, and reasons of its state, that are shown.
_MOST_WORKERS: Final = 64
_MOST_REASONS: Final = 8
#: Errors of the server that are shown, and those that clients caused.
_MOST_ERRORS: Final = 30
#: Models that are described, and that are only counted, in one turn of the event loop: about a millisecond of each.
_DESCRIBED_IN_A_TURN: Final = 20
_COUNTED_IN_A_TURN: Final = 500
_MOST_CHARACTERS: Final = 500

#: Of a model: whether it serves.
READY: Final = "ready"
LOADING: Final = "loading"
ON_DEMAND: Final = "on demand"
IDLE: Final = "no workers"
FAILING: Final = "failing"


async def make_snapshot(
    host: ModelHost, recorder: Recorder, fronts: Sequence[FrontCount] = ()
) -> dict[str, Any]:
    """Return the state of the server and its models. It lets other work go on between models.

    `fronts`: the processes that hold clients' connections.
    """
    aggregates = recorder.measured()
    every = host.registry.all()
    shown = await most_urgent(every)
    counts = _answers_by_model(aggregates)
    models = []
    workers = ready = waiting = 0
    for number, served in enumerate(shown):
        if number and number % _DESCRIBED_IN_A_TURN == 0:
            await asyncio.sleep(0)
        models.append(_describe(host, served, counts, aggregates))
    for number, served in enumerate(every):
        if number and number % _COUNTED_IN_A_TURN == 0:
            await asyncio.sleep(0)
        workers += len(served.workers)
        ready += served.is_ready
        waiting += served.model.waiting
    return {
        "time": time.time(),
        "server": {
            "version": __version__,
            "health": host.ping(),
            "problems": [_short(problem) for problem in host.problems()[:_MOST_REASONS]],
        },
        "totals": {"models": len(every), "ready": ready, "workers": workers, "waiting": waiting},
        "fronts": [
            {
                "number": front.number,
                "pid": front.pid,
                "connections": front.connections,
                "restarts": front.restarts,
            }
            for front in fronts
        ],
        "timeBounds": TIME_BOUNDS_S,
        "sizeBounds": SIZE_BOUNDS,
        "models": models,
        "errors": [
            {
                "time": note.at,
                "requestId": note.request_id,
                "model": note.model,
                "version": note.version,
                "status": note.status,
                "message": note.message,
            }
            for note in recorder.errors.newest(_MOST_ERRORS)
        ],
    }


async def most_urgent(every: Sequence[ServedModel]) -> list[ServedModel]:
    """Return the models to show, by name: all, or those with trouble first and then those with requests."""
    if len(every) <= MOST_MODELS:
        return sorted(every, key=_name_of)
    ranked = []
    for number, served in enumerate(every):
        if number and number % _COUNTED_IN_A_TURN == 0:
            await asyncio.sleep(0)
        has_trouble = served.is_wanted and not served.is_ready
        ranked.append((not has_trouble, -served.model.waiting, -served.model.arrivals.last_at))
    order = sorted(range(len(every)), key=lambda index: (ranked[index], _name_of(every[index])))
    return sorted((every[index] for index in order[:MOST_MODELS]), key=_name_of)


def _name_of(served: ServedModel) -> tuple[str, str]:
    return served.name, served.version or ""


def _answers_by_model(aggregates: Aggregates) -> dict[tuple[str, str], _Answers]:
    found: dict[tuple[str, str], _Answers] = {}
    for (model, version, status), histogram in aggregates.requests.items():
        answers = found.get((model, version))
        if answers is None:
            answers = found[model, version] = _Answers()
        answers.add(status, histogram.buckets)
    return found


class _Answers:
    """Answers of one model version since the start: how many of each class, and how long they took."""

    def __init__(self) -> None:
        self.good = self.of_clients = self.of_server = 0
        self.buckets = [0] * (len(TIME_BOUNDS_S) + 1)

    def add(self, status: int, buckets: Iterable[int]) -> None:
        count = 0
        for index, number in enumerate(buckets):
            self.buckets[index] += number
            count += number
        if status < 400:
            self.good += count
        elif status < 500:
            self.of_clients += count
        else:
            self.of_server += count

    def __repr__(self) -> str:
        return f"<_Answers {self.good} good, {self.of_clients} and {self.of_server} errors>"


def _describe(
    host: ModelHost,
    served: ServedModel,
    counts: dict[tuple[str, str], _Answers],
    aggregates: Aggregates,
) -> dict[str, Any]:
    snapshot = snapshot_of(served)
    key = (served.name, served.version or "")
    answers = counts.get(key) or _Answers()
    # Not `batch_series`, which would make one.
    batches = aggregates.batches.get(key) or BatchSeries()
    state, reasons = state_of_model(served)
    model = served.model
    return {
        "name": served.name,
        "version": served.version,
        "isDefault": host.registry.is_default(served),
        "kind": served.kind,
        "interface": served.interface,
        "state": state,
        "reasons": [_short(reason) for reason in reasons[:_MOST_REASONS]],
        "hasWorkers": isinstance(served, PooledModel),
        "owner": served.owner,
        "minWorkers": served.min_workers,
        "maxWorkers": served.max_workers,
        "wantedWorkers": snapshot.wanted_workers,
        "batchSize": model.config.batch_size,
        "batchPolicy": snapshot.batch_policy[0],
        "batchPolicyReason": model.policy.reason,
        "isTracked": served.tracking is not None,
        "waiting": snapshot.queue_length,
        "capacity": snapshot.queue_capacity,
        "oldestWait": round(snapshot.oldest_wait_s, 4),
        "inFlight": snapshot.in_flight,
        "lost": sum(snapshot.unanswered.values()),
        "workerCount": len(snapshot.workers),
        "workers": [
            {
                "name": worker.name,
                "pid": worker.pid,
                "state": worker.state,
                "memory": worker.memory_bytes,
                "restarts": worker.restarts,
                "gpu": worker.gpu_id,
                "reason": _short(worker.reason),
            }
            for worker in snapshot.workers[:_MOST_WORKERS]
        ],
        "answers": {
            "good": answers.good,
            "ofClients": answers.of_clients,
            "ofServer": answers.of_server,
            "times": answers.buckets,
        },
        "batches": {
            "sizes": batches.sizes.buckets,
            "requests": batches.sizes.total,
            "failures": batches.failures,
            "handlerTimes": batches.handler.buckets,
            "queueTimes": batches.queue.buckets,
        },
    }


def state_of_model(served: ServedModel) -> tuple[str, list[str]]:
    """Return whether a model serves, in a word, and why not, in sentences."""
    if served.is_ready:
        is_waiting = served.is_on_demand and not served.workers
        return (ON_DEMAND if is_waiting else READY), []
    reasons = served.problems()
    failure = served.load_failure
    if failure is not None and not any(failure.error in reason for reason in reasons):
        reasons = [*reasons, failure.error]
    if served.has_failed_to_load or failure is not None:
        return FAILING, reasons
    if not served.is_wanted and not served.workers:
        return IDLE, reasons
    return LOADING, reasons


def _short(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 3]}..."
