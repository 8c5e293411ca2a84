"""The life of one worker: started, loaded, served, lost, started again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from typing import Any, Protocol

from mms import faults
from mms.core import ModelVersion, Worker, WorkerState, recovery
from mms.core.batch_record import batch_record, coding_record
from mms.errors import UnexpectedError
from mms.launch import Launcher, LaunchFailed, WorkerLink, WorkerSpec
from mms.launch.interface import OUT_OF_MEMORY
from mms.observe import events
from mms.repository import RequirementsFailed
from mms.serving.dispatcher import Dispatcher
from mms.serving.model_client import ModelClient
from mms.serving.tracking.model_tracking import ModelTracking
from mms.serving.workers.calls import WorkerCalls
from mms.serving.workers.load_outcome import STOPPED, LoadOutcome
from mms.serving.workers.load_stages import IMPORT, PACKAGES, PROCESS, TURN, LoadStages
from mms.serving.workers.load_turns import LoadNotWanted
from mms.serving.workers.stream_intake import StreamIntake, failure_of
from mms.wire import (
    CODED,
    FAILED,
    LAST,
    STREAM,
    SUCCEEDED,
    UNFILLED,
    Loaded,
    ProtocolError,
    Readiness,
    ResultItem,
    coding_of,
    decode_result,
)
from mms.wire.answer_head import check_head

logger = logging.getLogger("mms.serving")

#: How long a killed process may take to be gone, in seconds.
_KILL_S = 5.0
#: Items of a result that have no answer in them.
_NO_ANSWER = FAILED | STREAM
#: Status, reason phrase and headers of an answer that says nothing but its body.
_PLAIN_HEAD = (200, b"", b"")


class WorkerEvents(Protocol):
    """Where what workers say and do is written down."""

    def worker_output(self, model: str, worker: str, stream: str, text: str) -> None: ...

    def load_traceback(self, model: str, worker: str, traceback: str) -> None: ...

    def worker_metrics(self, worker: str, lines: list[str]) -> None: ...

    def worker_series(self, model: str, pid: int, series: list[dict[str, Any]]) -> None: ...

    def worker_loaded(self, model: str, worker: str, load_s: float) -> None: ...


class WorkerRunner:
    """Owns one worker from its first start to its end for good, and listens to its link.

    `attempt` is done when the current attempt to load has ended, either way, or the worker was stopped before.
    """

    def __init__(
        self,
        model: ModelVersion,
        worker: Worker,
        spec: WorkerSpec,
        launcher: Launcher,
        dispatcher: Dispatcher,
        record: WorkerEvents,
        client: ModelClient,
        *,
        start_timeout_s: float,
        tracking: ModelTracking | None = None,
        prepare: Callable[[], Awaitable[None]] | None = None,
        turn: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
        confirm: Callable[[], Awaitable[None]] | None = None,
        may_retry: Callable[[], bool] = lambda: True,
        on_outcome: Callable[[LoadOutcome], None],
        on_end: Callable[[WorkerRunner], None],
    ) -> None:
        self.worker = worker
        self._attempt: asyncio.Future[LoadOutcome] = asyncio.get_running_loop().create_future()
        self._model = model
        self._spec = spec
        #: What the process that runs was started as.
        self.running = spec
        self._launcher = launcher
        self._dispatcher = dispatcher
        self._record = record
        self._calls = WorkerCalls(client, spec.load.calls)
        self._streams = StreamIntake(model, worker, dispatcher, spec.load.max_response_bytes)
        self._tracking = tracking
        self._start_timeout_s = start_timeout_s
        self._stages = LoadStages(worker, model.name)
        #: What has to be done before each start; raises RequirementsFailed.
        self._prepare = prepare
        #: What a load waits for before it begins, and holds until it ends.
        self._turn = turn
        #: What a process is checked by that has loaded the model; raises LaunchFailed where it may not stay.
        self._confirm = confirm
        self._may_retry = may_retry
        self._on_outcome = on_outcome
        self._on_end = on_end
        self._is_stopping = False
        #: How this process's load ended that went on after it had said that it serves.
        self._readiness: list[Readiness] = []
        #: The batch that is answered in parts, by its number, and how many have come.
        self._in_parts = -1
        self._parts = 0
        #: The last head of an answer that was found to be good; the next one is the same, mostly.
        self._checked = _PLAIN_HEAD
        self._task = asyncio.get_running_loop().create_task(self._run(), name=worker.name)

    def __repr__(self) -> str:
        return f"<WorkerRunner {self.worker!r}>"

    # Its life

    def respecify(self, spec: WorkerSpec) -> None:
        """What the next process of this worker is to be."""
        self._spec = spec

    @property
    def failure(self) -> LoadOutcome | None:
        """The failed load that has ended it for good; None where it was stopped, or goes on."""
        if self._is_stopping or not self._attempt.done() or self._attempt.result().is_success:
            return None
        return self._attempt.result()

    async def wait_attempt(self) -> LoadOutcome:
        """How the current attempt to load ends."""
        return await asyncio.shield(self._attempt)

    async def stop(self, timeout_s: float | None) -> bool:
        """Have the worker finish what depends on it and end; kill it when `timeout_s` is over, None: never.

        Returns, when it is gone, whether it ended in time.
        """
        self._is_stopping = True
        worker = self.worker
        worker.state = WorkerState.DRAINING
        if not self._is_serving:
            self._task.cancel()
        else:
            self._dispatcher.dispatch(self._model)
            self._dispatcher.release_drained(self._model)
        done, _ = await asyncio.wait((self._task,), timeout=timeout_s)
        if done:
            return True
        self._task.cancel()
        await asyncio.wait((self._task,), timeout=_KILL_S)
        return False

    async def _run(self) -> None:
        worker = self.worker
        try:
            while True:
                try:
                    outcome = await self._serve_once()
                except Exception as error:
                    outcome = self._break_off(error)
                if self._is_stopping:
                    break
                if not self._attempt.result().is_success and not self._may_retry():
                    worker.state = WorkerState.FAILED
                    worker.reason = outcome
                    break
                delay_s = worker.next_backoff_s(time.monotonic())
                worker.state = WorkerState.BACKOFF
                worker.reason = f"{outcome}; next start in {delay_s} seconds"
                worker.backoff_s = delay_s
                if self._model.has_failed_to_load:
                    # Whoever waits for it is told at once.
                    recovery.fail_queue(self._model)
                events.worker_retry(worker.name, self._model.name, delay_s)
                if delay_s:
                    await asyncio.sleep(delay_s)
                worker.restarts += 1
        except asyncio.CancelledError:
            if not self._is_stopping:
                raise
        finally:
            if not self._attempt.done():
                self._attempt.set_result(STOPPED)
            self._on_end(self)

    async def _serve_once(self) -> str:
        """One process from start to end. Returns why it ended."""
        worker = self.worker
        worker.reset(self._spec.load.batch_size, self._spec.load.running_places)
        self.running = self._spec
        worker.state = WorkerState.STARTING
        worker.reason = ""
        self._readiness.clear()
        self._in_parts = -1
        worker.started_at = time.time()
        started = time.monotonic()
        stages = self._stages
        stages.begin(TURN)
        if self._attempt.done():
            self._attempt = asyncio.get_running_loop().create_future()
        link: WorkerLink | None = None
        try:
            async with self._turn():
                if self._prepare is not None:
                    stages.begin(PACKAGES)
                    worker.reason = "its packages are being installed"
                    await self._prepare()
                    worker.reason = ""
                stages.begin(PROCESS)
                link = await self._launcher.launch(self._spec, self, self._start_timeout_s)
                worker.link = link
                worker.pid = link.pid
                worker.node = link.node
                worker.reason = ""
                worker.state = WorkerState.LOADING
                stages.begin(IMPORT, self._spec.load_timeout_s)
                loaded = await link.load(self._spec.load_timeout_s)
                stages.complete()
                if self._confirm is not None and loaded.code == 200:
                    await self._confirm()
        except RequirementsFailed as error:
            self._log_load(Loaded(500, error=str(error), traceback=error.output))
            self._note(LoadOutcome(500, str(error), error.output))
            return str(error)
        except LoadNotWanted:
            self._is_stopping = True
            return "nobody waits for it any more"
        except LaunchFailed as error:
            if link is not None:
                link.kill(str(error))
                worker.link = None
            logger.error("Worker %s of model %s: %s", worker.name, self._model.name, error)
            self._note(LoadOutcome(error.code, str(error)))
            return str(error)
        except asyncio.CancelledError:
            if link is not None:
                link.kill("stopped")
                worker.link = None
            raise
        finally:
            stages.end()
        self._log_load(loaded)
        if loaded.code != 200:
            link.kill("model did not load")
            worker.link = None
            self._note(LoadOutcome(loaded.code, loaded.error or loaded.message, loaded.traceback))
            return loaded.error or loaded.message
        if loaded.full_batches:
            self._model.policy.require_full_batches(loaded.full_batches, time.monotonic())
        worker.state = WorkerState.READY
        worker.is_model_ready = loaded.is_ready
        worker.is_continuous = loaded.is_continuous
        worker.ready_at = time.monotonic()
        events.worker_loaded(worker.name, self._model.name, worker.load_times)
        with self._observed():
            self._record.worker_loaded(self._model.name, worker.name, time.monotonic() - started)
        self._note(LoadOutcome(200, loaded.error, loaded.traceback, loaded.interface))
        if not loaded.is_ready:
            worker.reason = "the model is loading"
            for readiness in self._readiness:
                self._take_readiness(readiness)
        self._dispatcher.schedule(self._model)
        try:
            reason = await asyncio.shield(link.closed)
        except asyncio.CancelledError:
            link.kill("stopped")
            self._lost()
            raise
        # Its requests go on at once; how the process ended shows a little later.
        self._lost()
        if not self._is_stopping:
            reason = await link.end_reason()
            worker.oom_kills += reason.endswith(OUT_OF_MEMORY)
            events.worker_disconnected(worker.name, self._model.name, "BACKOFF", reason)
        return reason

    def _break_off(self, error: Exception) -> str:
        """End a process that something unexpected has happened to, whatever state it is in. Returns why."""
        worker, model = self.worker, self._model
        ids = [request.id for batch in worker.in_flight for request in batch.requests]
        faults.note("worker", error, model.name, model.version, request_ids=ids)
        reason = f"unexpected {type(error).__name__}: {error}"
        link, worker.link, worker.pid = worker.link, None, 0
        with faults.contained("kill", model.name, model.version):
            if link is not None:
                link.kill(reason)
        with faults.contained("worker", model.name, model.version):
            self._calls.drop()
        recovery.abandon(model, worker)
        if not self._attempt.done():
            self._attempt.set_result(LoadOutcome(500, reason))
        return reason

    @property
    def _is_serving(self) -> bool:
        link = self.worker.link
        return link is not None and not link.closed.done() and self._attempt.done()

    def _note(self, outcome: LoadOutcome) -> None:
        self.worker.load_code = outcome.code
        self.worker.load_error = "" if outcome.is_success else outcome.error or "no reason given"
        self._on_outcome(outcome)
        if not self._attempt.done():
            self._attempt.set_result(outcome)

    def _log_load(self, loaded: Loaded) -> None:
        name = self._model.name
        self._record.load_traceback(name, self.worker.name, loaded.traceback)
        if loaded.code != 200:
            logger.error(
                "Worker %s could not load model %s: %s",
                self.worker.name,
                name,
                loaded.error or loaded.message,
                extra=events.of_model(name),
            )

    def _lost(self) -> None:
        worker = self.worker
        cause = ""
        if not self._is_stopping and worker.link is not None and worker.link.is_oom_killed:
            cause = "out of memory"
        worker.link = None
        worker.pid = 0
        self._calls.drop()
        if not self._is_stopping:
            worker.state = WorkerState.BACKOFF
        elif worker.in_flight:
            # It was given its time; what it did not finish is no crash.
            worker.was_timed_out = True
        for request in recovery.lose_worker(self._model, worker, time.monotonic(), cause):
            events.request_ended_workers(
                worker.name, self._model.name, request.id.decode("ascii", "replace")
            )
        self._dispatcher.schedule(self._model)

    # What its link says

    def on_result(
        self, sequence: int, payload: bytes | bytearray, attachments: Sequence[bytes | bytearray]
    ) -> None:
        worker = self.worker
        if not worker.in_flight or worker.in_flight[0].sequence != sequence:
            raise ProtocolError(f"result of batch {sequence}, which is not the running one")
        requests = worker.in_flight[0].requests
        checked = self._checked
        try:
            flags, entry_point_ns, items = decode_result(payload, attachments, len(requests) + 1)
            if flags & UNFILLED and self._repeat_unfilled(items, entry_point_ns):
                return
            for index, item_flags, status, phrase, headers, body in items:
                try:
                    request = requests[index]
                except IndexError:
                    raise ProtocolError(f"result for item {index} of {len(requests)}") from None
                if request.is_done:
                    if item_flags & STREAM:
                        self._streams.open(request, body)
                    continue
                if headers != checked[2] or phrase != checked[1] or status != checked[0]:
                    check_head(status, phrase, headers)
                    self._checked = checked = (status, phrase, headers)
                if item_flags & _NO_ANSWER:
                    if item_flags & STREAM:
                        self._streams.open(request, body)
                    else:
                        request.fail(failure_of(status, phrase, body))
                else:
                    request.is_done = True
                    try:
                        request.reply.answer(request, status, phrase, headers, body)
                    except Exception as error:
                        request.replace_answer(error)
                    if request.span is not None:
                        request.span.end(status)
            if not flags & LAST:
                self._count_part(sequence, len(requests))
                return
            now = time.monotonic()
            is_success = bool(flags & SUCCEEDED)
            entry_point_s = entry_point_ns * 1e-9
            batch = self._model.finish_head(worker, entry_point_s, is_success, now)
        except ProtocolError:
            raise
        except Exception:
            # Its end is noted with the connection, which breaks off.
            for request in requests:
                request.fail(UnexpectedError(request.id))
            raise
        try:
            self._dispatcher.record_batch(
                batch_record(self._model, worker, batch, entry_point_s, is_success, now)
            )
            if (trace := self._dispatcher.trace_batch) is not None:
                trace(self._model, worker, batch, entry_point_s, is_success, now)
            if flags & CODED:
                record = coding_record(self._model, len(requests), *coding_of(payload))
                worker.coding_s = record[3] + record[4]
                self._dispatcher.record_coding(record)
        except Exception as error:
            faults.note("recorder", error, self._model.name, self._model.version)

    def on_chunks(
        self, payload: bytes | bytearray, attachments: Sequence[bytes | bytearray]
    ) -> None:
        self._streams.take(payload, attachments)

    def _count_part(self, sequence: int, most: int) -> None:
        """A batch has been answered in part, which does not happen more often than it has requests."""
        if self._in_parts != sequence:
            self._in_parts, self._parts = sequence, 0
        self._parts += 1
        if self._parts > most:
            raise ProtocolError(f"more than {most} results of batch {sequence} without its last")

    def _repeat_unfilled(self, items: list[ResultItem], entry_point_ns: int) -> bool:
        """Whether a call that failed for having few requests, maybe, is made again.

        What went wrong is taken from `items`.
        """
        problem = str(items.pop()[5], "utf-8", "replace") if items else ""
        return self._model.repeat_unfilled(
            self.worker, entry_point_ns * 1e-9, problem, time.monotonic()
        )

    def on_read(self) -> None:
        model = self._model
        if model.queue:
            self._dispatcher.dispatch(model)
        if self.worker.state is WorkerState.DRAINING:
            self._dispatcher.release_drained(model)

    def on_metrics(self, lines: list[str]) -> None:
        with self._observed():
            self._record.worker_metrics(self.worker.name, lines)

    def on_series(self, series: list[dict[str, Any]]) -> None:
        with self._observed():
            self._record.worker_series(self._model.name, self.worker.pid, series)

    def on_imported(self) -> None:
        self._stages.note_imported()

    def on_readiness(self, readiness: Readiness) -> None:
        if self._readiness:
            raise ProtocolError("a second end of the model's load")
        self._readiness.append(readiness)
        if not self.worker.is_model_ready:
            self._take_readiness(readiness)

    def _take_readiness(self, readiness: Readiness) -> None:
        worker = self.worker
        worker.is_model_ready = readiness.is_ready
        worker.has_model_failed = not readiness.is_ready
        worker.reason = readiness.error
        if not readiness.is_ready:
            logger.error(
                "Worker %s could not load model %s: %s",
                worker.name,
                self._model.name,
                readiness.error,
                extra=events.of_model(self._model.name),
            )
        # For its description; that the process serves stays true.
        self._on_outcome(LoadOutcome(200, readiness.error, readiness.error))

    def on_call(self, sequence: int, payload: bytes | bytearray) -> None:
        link = self.worker.link
        if link is not None:
            self._calls.take(link, sequence, payload)

    def on_records(self, stream: int, records: list[bytes]) -> None:
        if self._tracking is not None:
            with self._observed():
                self._tracking.take(stream, records)

    def on_output(self, stream: str, text: str) -> None:
        with self._observed():
            self._record.worker_output(self._model.name, self.worker.name, stream, text)

    def on_waiting(self, reason: str) -> None:
        if self.worker.state is WorkerState.STARTING:
            self.worker.reason = reason

    def _observed(self) -> AbstractContextManager[None]:
        """What cannot be written down is lost, and nothing more than that."""
        return faults.contained("recorder", self._model.name, self._model.version)
