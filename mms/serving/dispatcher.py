"""The event loop's side of dispatch: when decisions are asked for, and that their batches are sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mms import faults
from mms.core import ModelVersion, Request, WorkerState, deadlines, recovery
from mms.core.streams.open_stream import cut_silent
from mms.core.worker import Batch, Worker
from mms.errors import ServerError, UnexpectedError
from mms.launch import Unsendable
from mms.machine.cpus import available_cpus
from mms.observe import events

#: How often deadlines and response timeouts are looked at, in seconds, while there is anything to look at.
_TICK_S = 0.05
#: A look that comes so much later than it should, in seconds, finds a loop that was held up: what workers have answered
#: meanwhile is yet to be read.
_LATE_S = 0.1
#: Workers hold answers back for far less, in seconds, unless the next batch takes much longer than they think it will.
#: Then the answer must come before it matters which batch it is that takes so long.
_HELD_S = 0.1
#: How long the loop looks out for the answer of a lone request instead of going to sleep, beside the handler's own
#: time, and for which handlers, by their time in seconds: to be woken takes about as long as they do.
_LOOK_OUT_S = 0.00015
_QUICK_S = 0.0002
#: A client that asks again so soon after its answer, in seconds, is looked out for, once it has done so this many times
#: in a row: it would find the loop asleep.
_SOON_S = 0.0002
_SOON_TIMES = 16
#: Looking out on the only processor would keep the worker from it.
_HAS_PROCESSORS = available_cpus() > 1


class Dispatcher:
    """Asks models for their decisions and carries them out.

    Requests that arrive in one turn of the loop are dispatched together at its end, at no added wait. One timer serves
    the deadlines and response timeouts of all models; it runs only while some model has work.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due: list[ModelVersion] = []
        self._active: set[ModelVersion] = set()
        self._ticker: asyncio.TimerHandle | None = None
        self._ticks_at = 0.0
        self._was_late = False
        self._wakers: dict[ModelVersion, tuple[float, asyncio.TimerHandle]] = {}
        #: Of models with a request that has a deadline: the earliest one, and its timer.
        self._deadlines: dict[ModelVersion, tuple[float, asyncio.TimerHandle]] = {}
        self._looks_for: Worker | None = None
        self._looks_until = 0.0
        #: A lone request has just gone to its worker.
        self._has_time = False
        #: What may be done, at `time.monotonic()`, while a worker has a lone request; the server's log replaces it.
        self.meanwhile: Callable[[float], None] = lambda _: None
        #: When the last lone request was answered, of `time.monotonic()`; 0: it is not.
        self._answered_at = 0.0
        #: How many lone requests in a row came soon after the answer to the one before.
        self._soon = 0
        #: Receives one tuple per finished batch; the recorder replaces it.
        self.record_batch: Callable[[tuple[Any, ...]], None] = lambda _: None
        #: Receives (model, version, size, seconds of reading, seconds of writing) of a batch with tensors.
        self.record_coding: Callable[[tuple[Any, ...]], None] = lambda _: None
        #: Receives (model, version, seconds until the first chunk) of a stream.
        self.record_first_chunk: Callable[[tuple[str, str, float]], None] = lambda _: None
        #: Receives (model, worker, batch, seconds in the entry point, its success, now) of a finished batch, where
        #: traces are made.
        self.trace_batch: (
            Callable[[ModelVersion, Worker, Batch, float, bool, float], None] | None
        ) = None

    def __repr__(self) -> str:
        return f"<Dispatcher {len(self._active)} models with work>"

    def submit(self, model: ModelVersion, request: Request) -> None:
        """Queue a request. Raises ServiceUnavailable."""
        try:
            if not model.try_enqueue(request):
                self.dispatch(model)
                model.enqueue(request)
            if model.deadline_at:
                self._watch(model)
        except ServerError:
            raise
        except Exception as error:
            faults.note("submit", error, model.name, model.version, request_ids=(request.id,))
            raise UnexpectedError(request.id) from error
        if model.is_scheduled:
            return
        if model.config.batch_size == 1 and model.has_idle_worker:
            # Nothing can join it, and nobody else is served meanwhile: the end of the turn is not worth waiting for.
            self.dispatch(model)
        else:
            self.schedule(model)

    def schedule(self, model: ModelVersion) -> None:
        """Dispatch at the end of this turn of the loop."""
        if model.is_scheduled:
            return
        model.is_scheduled = True
        if not self._due:
            self._loop.call_soon(self.dispatch_due)
        self._due.append(model)

    def dispatch_due(self) -> None:
        """Dispatch what is scheduled without waiting for the end of the turn: nothing else can come in it."""
        due, self._due = self._due, []
        for model in due:
            model.is_scheduled = False
            self.dispatch(model)

    def dispatch(self, model: ModelVersion) -> None:
        """Send what the model decides to send now. Raises nothing, as it has callers who serve other models."""
        now = time.monotonic()
        try:
            sends = model.dispatch(now)
            if len(sends) == 1:
                worker, batch = sends[0]
                try:
                    worker.link.send((batch,), now)
                except Exception as error:
                    self._on_send_failed(model, worker, (batch,), error)
                if (
                    len(worker.in_flight) == 1
                    and len(batch.requests) == 1
                    and worker.service_s + worker.coding_s < _QUICK_S
                    and not model.queue
                    and _HAS_PROCESSORS
                ):
                    self._look_out(worker, now)
            elif sends:
                for worker, batches in _by_worker(model, sends):
                    try:
                        worker.link.send(batches, now)
                    except Exception as error:
                        self._on_send_failed(model, worker, batches, error)
            if model not in self._active:
                self._active.add(model)
                if self._ticker is None:
                    self._tick_after(now)
            if model.wake_at is not None:
                self._wake(model, model.wake_at, now)
        except Exception as error:
            self._give_up(model, "dispatch", error)

    def _on_send_failed(
        self, model: ModelVersion, worker: Worker, batches: Sequence[Batch], error: Exception
    ) -> None:
        ids = [request.id for batch in batches for request in batch.requests]
        faults.note("send", error, model.name, model.version, request_ids=ids)
        if isinstance(error, Unsendable):
            recovery.withdraw(model, worker, batches)
            self.schedule(model)
        else:
            # What the worker has got is not known.
            self._kill(model, worker, f"cannot be written to: {error}")

    def _give_up(self, model: ModelVersion, where: str, error: Exception) -> None:
        """A decision of a model failed, so what it has decided is not known: its requests fail, its workers are new.

        Raises nothing.
        """
        ids: list[bytes] = []
        with faults.contained(where, model.name, model.version):
            ids = recovery.unfinished_ids(model)
        faults.note(where, error, model.name, model.version, request_ids=ids)
        busy = [worker for worker in model.workers if worker.in_flight or worker.streams]
        with faults.contained(where, model.name, model.version):
            recovery.abandon_all(model)
        for worker in busy:
            self._kill(model, worker, f"unexpected error in {where}: {error}")

    def _kill(self, model: ModelVersion, worker: Worker, reason: str) -> bool:
        """End a worker's process, for the next one to take its place. Returns whether that could be done."""
        try:
            if worker.link is not None:
                worker.link.kill(reason)
        except Exception as error:
            faults.note("kill", error, model.name, model.version)
            return False
        if worker.state is WorkerState.READY:
            # Until its end is noticed nothing more must be sent to it.
            worker.state = WorkerState.BACKOFF
            worker.reason = reason
        return True

    def _look_out(self, worker: Worker, now: float) -> None:
        """Keep the loop from sleeping until a lone request is answered, for a moment."""
        if self._looks_for is None:
            self._loop.call_soon(self._look)
        self._looks_for = worker
        self._has_time = True
        self._looks_until = now + worker.service_s + worker.coding_s + _LOOK_OUT_S
        self._soon = self._soon + 1 if now - self._answered_at < _SOON_S else 0
        self._answered_at = 0.0

    def _look(self) -> None:
        worker = self._looks_for
        if worker is not None:
            now = time.monotonic()
            if self._has_time:
                self._has_time = False
                with faults.contained("meanwhile"):
                    self.meanwhile(now)
            if not worker.in_flight and not self._answered_at:
                self._answered_at = now
                if self._soon >= _SOON_TIMES:
                    # For the next request of a client that has not taken its time so far.
                    self._looks_until = now + _SOON_S
                else:
                    self._looks_until = 0.0
            if now < self._looks_until:
                self._loop.call_soon(self._look)
                return
        self._looks_for = None

    def _wake(self, model: ModelVersion, wake_at: float, now: float) -> None:
        waker = self._wakers.get(model)
        if waker is not None:
            if waker[0] <= wake_at:
                return
            waker[1].cancel()
        handle = self._loop.call_later(max(wake_at - now, 0.0), self._woken, model)
        self._wakers[model] = (wake_at, handle)

    def _woken(self, model: ModelVersion) -> None:
        self._wakers.pop(model, None)
        self.dispatch(model)

    def _watch(self, model: ModelVersion) -> None:
        """Be there at the model's earliest deadline. One timer for a model, however many requests have one."""
        deadline_at = model.deadline_at
        known = self._deadlines.get(model)
        if known is not None:
            if known[0] <= deadline_at:
                return
            known[1].cancel()
        delay_s = max(deadline_at - time.monotonic(), 0.0)
        handle = self._loop.call_later(delay_s, self._at_deadline, model)
        self._deadlines[model] = (deadline_at, handle)

    def _at_deadline(self, model: ModelVersion) -> None:
        self._deadlines.pop(model, None)
        try:
            self._expire(model, time.monotonic())
        except Exception as error:
            self._give_up(model, "deadline", error)
        if model.deadline_at:
            self._watch(model)

    def _expire(self, model: ModelVersion, now: float) -> None:
        ids: dict[Worker, list[str]] = {}
        for worker, request in deadlines.expire(model, now):
            ids.setdefault(worker, []).append(request.id.decode("ascii", "replace"))
        for worker, given_up in ids.items():
            if worker.link is not None:
                with faults.contained("cancel", model.name, model.version):
                    worker.link.cancel(given_up)

    def _tick_after(self, now: float) -> None:
        self._ticks_at = now + _TICK_S
        self._ticker = self._loop.call_later(_TICK_S, self._tick)

    def _tick(self) -> None:
        self._ticker = None
        now = time.monotonic()
        # Not twice in a row: a loop that is always late has read in between.
        self._was_late = now > self._ticks_at + _LATE_S and not self._was_late
        for model in list(self._active):
            try:
                self._look_after(model, now)
            except Exception as error:
                self._give_up(model, "tick", error)
        if self._active:
            self._tick_after(now)

    def _look_after(self, model: ModelVersion, now: float) -> None:
        self._expire(model, now)
        self._ask_for_held(model, now)
        if not self._was_late:
            for worker in model.timed_out_workers(now):
                self._end_timed_out(model, worker)
            for worker in model.workers:
                if worker.streams and cut_silent(
                    worker.streams, model.config.response_timeout_s, now
                ):
                    self._end_timed_out(model, worker)
        self.release_drained(model)
        if model.is_idle:
            self._active.discard(model)

    def _ask_for_held(self, model: ModelVersion, now: float) -> None:
        for worker in model.workers:
            if (
                len(worker.in_flight) > 1
                and worker.head_since != worker.asked_since
                and now - worker.head_since > _HELD_S
                and worker.link is not None
            ):
                worker.asked_since = worker.head_since
                with faults.contained("ask for answers", model.name, model.version):
                    worker.link.ask_for_answers()

    def _end_timed_out(self, model: ModelVersion, worker: Worker) -> None:
        if worker.was_timed_out or worker.link is None:
            return
        timeout_s = model.config.response_timeout_s
        worker.was_timed_out = True
        if not self._kill(model, worker, f"no response within {timeout_s:g} seconds"):
            # It is due at the next tick again.
            worker.was_timed_out = False
            return
        worker.unresponsive += 1
        events.worker_unresponsive(worker.name, model.name, timeout_s, worker.unresponsive)

    def release_drained(self, model: ModelVersion) -> None:
        """Let the draining workers go that nothing depends on any more."""
        for worker in model.workers:
            if (
                worker.state is WorkerState.DRAINING
                and worker.link is not None
                and model.is_releasable(worker)
            ):
                try:
                    worker.link.drain()
                except Exception as error:
                    faults.note("drain", error, model.name, model.version)
                    self._kill(model, worker, f"cannot be asked to end: {error}")

    def forget(self, model: ModelVersion) -> None:
        """The model is gone."""
        self._active.discard(model)
        for timers in (self._wakers, self._deadlines):
            waker = timers.pop(model, None)
            if waker is not None:
                waker[1].cancel()

    def close(self) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None
        for timers in (self._wakers, self._deadlines):
            for _, handle in timers.values():
                handle.cancel()
            timers.clear()


def _by_worker(
    model: ModelVersion, sends: Sequence[tuple[Worker, Batch]]
) -> Iterable[tuple[Worker, list[Batch]]]:
    """What each worker is sent, in order."""
    if len(model.workers) == 1:
        return ((sends[0][0], [batch for _, batch in sends]),)
    by_worker: dict[Worker, list[Batch]] = {}
    for worker, batch in sends:
        by_worker.setdefault(worker, []).append(batch)
    return by_worker.items()
