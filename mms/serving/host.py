"""The operations on models: register, scale, predict, describe, unregister."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archiver import is_runtime
from mms.core import Registry, Request, Worker, WorkerState
from mms.errors import (
    BadRequest,
    Conflict,
    ModelNotFound,
    RequestTimeout,
    ServiceUnavailable,
    WorkerStartFailed,
)
from mms.launch import Launcher
from mms.observe import events
from mms.repository import FetchedArchive, ModelFiles, Repository
from mms.serving.dispatcher import Dispatcher
from mms.serving.drift import model_drift
from mms.serving.graphs import Graphs, graph_document
from mms.serving.health import model_problems, server_problems
from mms.serving.kept_models import KeptModels
from mms.serving.making import WorkerSpecs, make_model
from mms.serving.mlrun_specs import MlrunSpecs
from mms.serving.named_places import check_arguments
from mms.serving.options import PROCESSING, SCALED, SCALING, Outcome, RegisterOptions
from mms.serving.recycling import RecycledRunner, Recycling, WorkerLimits
from mms.serving.runner import LoadOutcome, WorkerEvents, WorkerRunner
from mms.serving.served import ServedModel
from mms.serving.signed_models import check_is_signed_alone
from mms.serving.startup import StartupModels
from mms.serving.state_file import StateFile
from mms.serving.tracking import ModelTracking, Tracking

if TYPE_CHECKING:
    from mms.settings import Settings

logger = logging.getLogger("mms.serving")

#: Before a drain is given up, requests that still run are told so, in seconds.
_LAST_CALL_S = 0.05
#: What a worker that ends in order may take for it once it runs nothing any more, in seconds.
_END_S = 5.0
#: Interfaces whose clients know MMS's own texts.
_MMS_INTERFACES = ("auto", "mms", "legacy")


class ModelHost:
    """Owner of the registered models. All methods are called on the event loop.

    Errors are those of `mms.errors`; each knows what a client is told.
    """

    def __init__(
        self,
        settings: Settings,
        repository: Repository,
        launcher: Launcher,
        record: WorkerEvents,
        *,
        gpu_count: int = 0,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.settings = settings
        self.dispatcher = Dispatcher()
        self.registry: Registry[ServedModel] = Registry()
        self.tracking = Tracking()
        #: What clients may name outside the model store.
        self.sources = repository.sources
        self._repository = repository
        self._launcher = launcher
        self._record = record
        self._gpu_count = gpu_count
        self._environ = os.environ if environ is None else environ
        self._specs = WorkerSpecs(settings, self._environ)
        self._make = partial(make_model, settings, gpu_count)
        self._startup = StartupModels(settings, repository, self._add, self._start)
        self._kept = KeptModels(
            StateFile(Path(settings.state_file)) if settings.state_file else None, self.registry
        )
        self._recycling = Recycling(
            WorkerLimits(settings.max_requests_per_worker, settings.worker_memory_limit),
            self.registry.all,
            self._run_worker,
        )
        self._tasks: set[asyncio.Future[Any]] = set()
        self._is_draining = False
        self._has_loaded = False
        self._has_started = False
        self.functions = MlrunSpecs(
            settings, self.registry, self, self._make, self._add, self._discard
        )
        self.graphs = Graphs(
            settings, self.registry, self, self.register, self._environ, repository.sources
        )

    def __repr__(self) -> str:
        return f"<ModelHost of {len(self.registry)} models>"

    # Predictions

    def submit(self, request: Request) -> None:
        """Take a request; exactly one reply follows. Raises ModelNotFound or ServiceUnavailable at once."""
        served = self.registry.get(request.name, request.version)
        if self._is_draining:
            raise ServiceUnavailable("The server is shutting down.", retry_after_s=1)
        if served.graph is not None:
            served.graph.submit(request)
        else:
            self.dispatcher.submit(served.model, request)

    def submit_from_graph(self, request: Request) -> None:
        """Take a request of a graph to its node, also while what was accepted is still answered. Raises as `submit`."""
        self.dispatcher.submit(self.registry.get(request.name, request.version).model, request)

    def submit_call(self, request: Request) -> None:
        """Take a request of a worker to another model, as `submit_from_graph` does."""
        served = self.registry.get(request.name, request.version)
        if served.graph is not None:
            served.graph.submit(request)
        else:
            self.dispatcher.submit(served.model, request)

    def dispatch_due(self) -> None:
        """Send on what was submitted in this turn of the event loop: the caller knows that nothing can join it."""
        self.dispatcher.dispatch_due()

    def cancel(self, request: Request) -> None:
        """The client is gone: drop its request from the queue, or tell the worker that has it."""
        if request.is_done:
            return
        try:
            served = self.registry.get(request.name, request.version)
        except ModelNotFound:
            request.is_done = True
            return
        if served.graph is not None:
            served.graph.cancel(request)
            return
        worker = served.model.cancel(request)
        if worker is not None and worker.link is not None:
            worker.link.cancel([request.id.decode("ascii")])

    def check_model(self, name: str, version: str | None = None) -> None:
        """Raises ModelNotFound or ModelVersionNotFound."""
        self.registry.get(name, version)

    def has_model(self, name: str, version: str | None = None) -> bool:
        try:
            self.registry.get(name, version)
        except ModelNotFound:
            return False
        return True

    def interface_of(self, name: str) -> str:
        """The contract that the default version's code is written to; `auto` while that is not known.

        Raises ModelNotFound.
        """
        return self.registry.get(name).interface

    def version_of(self, name: str) -> str | None:
        """The default version of a model, None for a model without versions. Raises ModelNotFound."""
        return self.registry.get(name).version

    def names_of_interface(self, interface: str) -> list[str]:
        """The models whose default version's code is written to a contract, by name; no nodes of graphs."""
        return [
            s.name
            for s in self.registry.defaults()
            if s.interface == interface and not self.users_of(s.name)
        ]

    def users_of(self, name: str) -> list[str]:
        """The graphs and functions that a model is part of."""
        return self.graphs.users_of(name) + self.functions.users_of(name)

    def is_graph(self, name: str) -> bool:
        """Whether a model is a graph of others. Raises ModelNotFound."""
        return self.registry.get(name).graph is not None

    def is_ready(self, name: str, version: str | None = None) -> bool:
        """Whether a model can take requests now. Raises ModelNotFound."""
        return self.registry.get(name, version).is_ready

    def default_model_name(self) -> str | None:
        """The model for calls that name none: the only one left of those loaded at start."""
        return self._startup.only_name

    # Registration

    async def load_startup_models(self) -> None:
        """Register what the state file has kept and `load_models` names.

        Raises Conflict for a name that comes twice, ConfigurationError for a state file that cannot be used.
        """
        count = self.settings.worker_count_at_startup(self._gpu_count, os.cpu_count() or 1)
        entries = await self._startup.entries()
        restored = await self._kept.restore(self._add, self._scale, frozenset(entries))
        await self._startup.load(count, entries, restored)
        await self._kept.save()

    async def register(self, options: RegisterOptions, *, is_kept: bool = True) -> Outcome:
        """Fetch an archive and make it a model. A call that waits leaves none behind whose workers cannot load it.

        `is_kept`: the state file, if there is one, has it for the next start.
        """
        if self._is_draining:
            raise ServiceUnavailable("The server is shutting down.", retry_after_s=1)
        if options.runtime is not None and not is_runtime(options.runtime):
            raise BadRequest(f"Invalid RuntimeType value: {options.runtime}")
        served = await self._add(options, None)
        count = options.initial_workers
        if count is None:
            count = self.settings.default_workers_per_model
        if count <= 0 or (served.graph is not None and not served.brought):
            await self._keep_model(served, options, is_kept)
            return Outcome(200, None, f'Model "{served.name}" registered')
        self._start(served, count)
        if not options.synchronous:
            await self._keep_model(served, options, is_kept)
            return PROCESSING
        try:
            if served.brought:
                outcome = await self.functions.await_loaded(served, self._scaled)
            else:
                outcome = await self._scaled(served)
        except WorkerStartFailed:
            await self._discard(served)
            raise
        await self._keep_model(served, options, is_kept)
        return outcome

    async def _keep_model(
        self, served: ServedModel, options: RegisterOptions, is_kept: bool
    ) -> None:
        if is_kept:
            served.registration = options
            await self._kept.save()

    async def _add(self, options: RegisterOptions, default_name: str | None) -> ServedModel:
        if options.model_name and self._is_taken_for_sure(options.model_name):
            raise Conflict(f"Model {options.model_name} is already registered.")
        # A folder is what a function that is checked itself brings along; clients cannot name one.
        is_from_client = options.folder is None and not options.is_from_operator
        if self.settings.require_signature and is_from_client:
            check_is_signed_alone(options)
        archive = await self._archive(options)
        files: ModelFiles | None = None
        tracking: ModelTracking | None = None
        try:
            check_arguments(options, archive, self._repository.model_store, self.sources)
            document = graph_document(archive, options)
            function = await self.functions.document_of(document, options)
            if function is not None:
                served = await self.functions.make(function, options, archive, default_name)
            elif document is not None:
                if options.tracking:
                    raise BadRequest(
                        "A graph has no records of its own: track the models of its nodes."
                    )
                served = await self.graphs.make(document, options, archive, default_name)
            else:
                served = self._make(options, archive, default_name)
            uri = served.options.component.model_uri
            if uri is not None:
                if self.registry.has(served.name, served.version):
                    # Before the files are fetched; another registration may still be faster.
                    raise Conflict(f"Model {served.name} is already registered.")
                files = served.model_files = await self._repository.model_uris.fetch(
                    uri,
                    archive.folder,
                    sha256=None if options.url else options.sha256,
                    is_from_operator=options.is_from_operator,
                )
            tracking = served.tracking = await self.tracking.open_for(
                served.name,
                served.version,
                options.tracking,
                archive.manifest,
                self.settings,
                None if options.is_from_operator else self.sources,
            )
            if served.graph is not None:
                served.graph.tracking = tracking
            self.registry.add(served)
        except BaseException:
            if tracking is not None:
                await self.tracking.close(tracking)
            await self._repository.release(archive)
            if files is not None:
                await self._repository.model_uris.release(files)
            raise
        events.model_loaded(served.name)
        return served

    async def _archive(self, options: RegisterOptions) -> FetchedArchive:
        if options.url:
            return await self._repository.fetch(
                options.url, sha256=options.sha256, is_from_operator=options.is_from_operator
            )
        if options.folder is not None:
            return FetchedArchive(options.folder, None, True, None)
        return await self._repository.make_empty()

    def _is_taken_for_sure(self, name: str) -> bool:
        """Whether the name is taken by a model without a version, beside which no other can stand."""
        return self.registry.has(name, None)

    # Workers

    async def scale(
        self,
        name: str,
        version: str | None,
        min_workers: int,
        max_workers: int,
        synchronous: bool,
    ) -> Outcome:
        """Set how many workers a model has. Raises WorkerStartFailed where the call waits and one cannot load."""
        if max_workers < min_workers:
            raise BadRequest("max_worker cannot be less than min_worker.")
        served = self.registry.get(name, version)
        if served.graph is not None:
            raise BadRequest(f"{name} is a graph, which has no workers; scale its nodes' models.")
        self._scale(served, min_workers, max_workers)
        await self._kept.save()
        if not synchronous:
            return PROCESSING
        return await self._scaled(served)

    def _start(self, served: ServedModel, count: int) -> None:
        """Start the workers of a model and of those that it brought."""
        for brought in served.brought:
            self._scale(brought, count, count)
        if served.graph is None:
            self._scale(served, count, count)

    def _scale(self, served: ServedModel, min_workers: int, max_workers: int) -> None:
        gpus = [
            worker.gpu_id
            for other in self.registry.all()
            if other is not served
            for worker in other.model.workers
            if worker.gpu_id is not None
        ]
        starts, stops = served.pool.scale(min_workers, max_workers, gpus)
        served.stopping = [task for task in served.stopping if not task.done()]
        for worker in starts:
            self._run_worker(served, worker)
        for worker in stops:
            served.stopping.append(
                self._keep(
                    served.runners[worker].stop(self.settings.unregister_model_timeout + _END_S)
                )
            )

    def _run_worker(self, served: ServedModel, worker: Worker) -> None:
        recycling = self._recycling
        make: Callable[..., WorkerRunner] = WorkerRunner
        if recycling.limits:
            make = partial(
                RecycledRunner,
                limits=recycling.limits,
                on_spent=lambda worker, reason: recycling.on_spent(served, worker, reason),
            )
        served.runners[worker] = make(
            served.model,
            worker,
            self._specs.of(served, worker),
            self._launcher,
            self.dispatcher,
            self._record,
            self,
            start_timeout_s=self.settings.worker_start_timeout_s,
            tracking=served.tracking,
            on_outcome=lambda outcome: self._on_load(served, outcome),
            on_end=lambda runner: self._on_worker_end(served, runner),
        )

    async def _scaled(self, served: ServedModel) -> Outcome:
        """Wait until each worker that is on its way has loaded or failed once, or has ended."""
        if served.stopping:
            stopping, served.stopping = served.stopping, []
            await asyncio.wait(stopping)
        runners = [served.runners[worker] for worker in served.pool.active]
        outcomes = [await runner.wait_attempt() for runner in runners]
        failed = [outcome for outcome in outcomes if not outcome.is_success]
        if failed:
            code = 507 if any(outcome.code == 507 for outcome in failed) else 500
            message = "Failed to start workers"
            if served.interface not in _MMS_INTERFACES and failed[0].error:
                # MMS's clients compare the text; those of other models are told why.
                message = f"{message}: {failed[0].error}"
            raise WorkerStartFailed(message, code, failed[0].error)
        ready = sum(1 for w in served.pool.active if w.state is WorkerState.READY)
        return SCALED if ready >= served.pool.min_workers else SCALING

    def _on_load(self, served: ServedModel, outcome: LoadOutcome) -> None:
        if outcome.is_success:
            self._has_loaded = True
            if outcome.interface and outcome.interface != served.interface:
                served.interface = outcome.interface
                self.registry.changed()
        # An `initialize` that failed and was ignored has a traceback to show, too.
        served.load_failure = outcome if outcome.traceback or not outcome.is_success else None

    def _on_worker_end(self, served: ServedModel, runner: WorkerRunner) -> None:
        served.runners.pop(runner.worker, None)
        served.pool.remove(runner.worker)
        if not served.model.has_active_worker and not served.model.workers:
            served.model.fail_queue()

    # Removal

    async def unregister(self, name: str, version: str | None = None) -> Outcome:
        """Remove a model: what it has accepted is answered first, within `unregister_model_timeout`.

        Raises RequestTimeout where that was not enough; the model is back then, without workers.
        """
        if not self.has_model(name, version) and await self._kept.drop(name, version):
            return Outcome(200, None, f'Model "{name}" unregistered')
        served = self.registry.get(name, version)
        self.registry.check_removable(served)
        self.graphs.check_removable(served)
        self.functions.check_removable(served)
        self.registry.remove(served)
        was_at_startup = name in self._startup.names
        self._startup.names.discard(name)
        timeout_s = self.settings.unregister_model_timeout
        is_clean = await self._end_workers(served, timeout_s)
        if not is_clean:
            served.model.is_closed = False
            if served.graph is not None:
                served.graph.reopen()
            try:
                self.registry.add(served)
            except Conflict:
                await self._repository.release(served.archive)
            else:
                if was_at_startup:
                    self._startup.names.add(name)
            await self._kept.save()
            raise RequestTimeout(f"Timed out while cleaning resources: {name}")
        for brought in served.brought:
            await self._discard(brought, timeout_s)
        await self._forget(served)
        await self._kept.save()
        events.model_unregistered(name)
        return Outcome(200, None, f'Model "{name}" unregistered')

    async def _discard(self, served: ServedModel, timeout_s: float = 0) -> None:
        """Remove a model whatever depends on it: its workers could not load, or what brought it goes."""
        if self.registry.has(served.name, served.version):
            self.registry.remove(served)
        await self._end_workers(served, timeout_s)
        for brought in served.brought:
            await self._discard(brought, timeout_s)
        await self._forget(served)

    async def _end_workers(self, served: ServedModel, timeout_s: float) -> bool:
        """Stop all workers, after what was accepted. Returns whether the time was enough."""
        if served.graph is not None:
            return await served.graph.drain(timeout_s)
        model = served.model
        model.is_closed = True
        served.pool.scale(0, 0)
        runners = list(served.runners.values())
        if not runners:
            model.fail_queue()
            return True
        self.dispatcher.dispatch(model)
        stops = [
            asyncio.get_running_loop().create_task(runner.stop(timeout_s)) for runner in runners
        ]
        results = await asyncio.gather(*stops)
        model.fail_queue()
        return all(results)

    async def _forget(self, served: ServedModel) -> None:
        self.dispatcher.forget(served.model)
        await self._launcher.forget(served.key)
        await self._repository.release(served.archive)
        if served.model_files is not None:
            await self._repository.model_uris.release(served.model_files)
        if served.tracking is not None:
            await self.tracking.close(served.tracking)

    # Versions

    async def set_default(self, name: str, version: str) -> Outcome:
        self.registry.set_default(name, version)
        await self._kept.save()
        return Outcome(
            200, None, f'Default version successfully updated for model "{name}" to "{version}"'
        )

    # What there is

    def describe(self, name: str, version: str | None = None) -> dict[str, Any]:
        served = self.registry.get(name, version)
        return served.describe(self.registry.is_default(served))

    def describe_all(self, name: str) -> list[dict[str, Any]]:
        return [
            served.describe(self.registry.is_default(served))
            for served in self.registry.versions(name)
        ]

    async def drift(self, name: str, version: str | None, last: int | None) -> dict[str, Any]:
        """How far its newest requests lie from what it was trained on. Raises BadRequest, ModelNotFound."""
        return await model_drift(self.registry.get(name, version), last)

    def list_models(self) -> list[tuple[str, str]]:
        """(name, url) of the default versions, by name."""
        return [(served.name, served.url) for served in self.registry.defaults()]

    def model_infos(self) -> list[tuple[str, str, str, list[tuple[bool, int]]]]:
        """(name, url, handler, [(worker is running, RSS in bytes)]) of the default versions."""
        return [
            (
                served.name,
                served.url,
                served.handler,
                [(w.state is WorkerState.READY, w.memory_bytes) for w in served.model.workers],
            )
            for served in self.registry.defaults()
        ]

    def ping(self) -> str:
        """Healthy, Partial Healthy or Unhealthy. With `strict_ping` a worker counts only once it has loaded."""
        required = running = 0
        is_strict = self.settings.strict_ping
        for served in self.registry.all():
            required += served.pool.min_workers
            for worker in served.model.workers:
                is_ready = worker.state is WorkerState.READY and worker.is_model_ready
                if is_ready or (not is_strict and worker.is_running):
                    running += 1
        if running >= required:
            return "Healthy"
        return "Partial Healthy" if running else "Unhealthy"

    def problems(self) -> list[str]:
        """Why the server should get no requests now; empty where it should."""
        if self._is_draining:
            return ["The server is shutting down."]
        return server_problems(self.registry.all())

    def problems_of(self, name: str, version: str | None = None) -> list[str]:
        """Why a model cannot take requests; empty where it can. Raises ModelNotFound."""
        served = self.registry.get(name, version)
        return ["The server is shutting down."] if self._is_draining else model_problems(served)

    def startup_problems(self) -> list[str]:
        """What is missing of the models that the server was started with; nothing for good once they have loaded."""
        if not self._has_started:
            missing = [s for s in self.registry.all() if s.is_loaded_at_startup]
            problems = server_problems(missing)
            self._has_started = not problems
            return problems
        return []

    def is_anything_loaded(self) -> bool:
        """Whether some worker of some model has ever loaded."""
        return self._has_loaded

    # The end

    async def drain(self, timeout_s: float) -> bool:
        """Take no more requests; answer what was accepted, end the workers. Returns whether the time was enough."""
        self._is_draining = True
        self._recycling.close()
        started = time.monotonic()
        # Just before the workers are ended, whose requests would fail as those of a crash.
        last_call = asyncio.get_running_loop().call_later(
            max(timeout_s - _LAST_CALL_S, 0), self.fail_what_runs
        )
        try:
            return await self._drain(timeout_s, started)
        finally:
            last_call.cancel()

    def fail_what_runs(self) -> None:
        """Tell the clients of all requests that the server does not wait for their answers."""
        for served in self.registry.all():
            served.model.fail_all(ServiceUnavailable("The server is shutting down."))

    async def _drain(self, timeout_s: float, started: float) -> bool:
        is_clean = await self.graphs.drain(timeout_s)
        left_s = max(timeout_s - (time.monotonic() - started), 0.0)
        every = self.registry.all()
        # What its workers have begun may still ask the models that came with it.
        for served_models in (
            [served for served in every if served.brought],
            [served for served in every if not served.brought],
        ):
            results = await asyncio.gather(
                *(self._end_workers(served, left_s) for served in served_models)
            )
            is_clean = is_clean and all(results)
            left_s = max(timeout_s - (time.monotonic() - started), 0.0)
        return is_clean

    async def close(self) -> None:
        """Give everything back. Call after `drain`."""
        await self._kept.close()
        for served in self.registry.all():
            self.registry.remove(served)
            await self._forget(served)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_END_S)
        await self.graphs.close()
        self.dispatcher.close()

    def _keep(self, work: Awaitable[Any]) -> asyncio.Future[Any]:
        """Run work in the background, owned by the host."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
