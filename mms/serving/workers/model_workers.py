"""The workers of the registered models: started, replaced, counted and ended."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from archiver.model_config import WorkerBounds
from mms.core import Registry, Worker, WorkerState, recovery
from mms.errors import BadRequest, WorkerStartFailed
from mms.interfaces import AUTO, find_interface
from mms.launch import Launcher, WorkerSpec
from mms.launch.choice import PEER
from mms.machine.cpus import available_cpus
from mms.machine.memory import total_memory
from mms.observe import events
from mms.serving.dispatcher import Dispatcher
from mms.serving.live_models import LiveModels
from mms.serving.model_client import ModelClient
from mms.serving.options import SCALED, SCALING, Outcome
from mms.serving.registration.model_factory import WorkerSpecs, change_model
from mms.serving.served import PooledModel, ServedModel, pooled_models
from mms.serving.served.pooled_model import new_key
from mms.serving.shared.cluster import Cluster
from mms.serving.shared.shares import Shares
from mms.serving.workers.load_outcome import STOPPED, LoadOutcome
from mms.serving.workers.load_turns import LoadTurns
from mms.serving.workers.recycling import RecycledRunner, Recycling, WorkerLimits
from mms.serving.workers.residency import Residency
from mms.serving.workers.runner import WorkerEvents, WorkerRunner
from mms.serving.workers.scaler import Scaler

if TYPE_CHECKING:
    from mms.settings import Settings

logger = logging.getLogger("mms.serving")

#: What a worker that ends in order may take for it once it runs nothing any more, in seconds.
_END_S = 5.0
#: How often it is looked whether workers have what was changed, in seconds.
_WAIT_S = 0.05
#: Loads at once for requests, where no setting says it and there are fewer CPUs.
_LEAST_CONCURRENT_LOADS = 2


class ModelWorkers:
    """Runs the workers of all models. Called on the event loop."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry[ServedModel],
        client: ModelClient,
        dispatcher: Dispatcher,
        launcher: Launcher,
        record: WorkerEvents,
        environ: Mapping[str, str],
        cluster: Cluster | None = None,
    ) -> None:
        """`cluster`: whose fronts share the workers of each model; None: this server has them all."""
        self._shares = Shares(cluster)
        self._settings = settings
        # What the operator starts models with is no mistake of a client's.
        self._most_workers = max(settings.max_workers_per_model, settings.default_workers_per_model)
        self._registry = registry
        #: The models that have workers, or are to have some.
        self.live = LiveModels(registry)
        #: By which the code of workers asks other models.
        self.client = client
        self._dispatcher = dispatcher
        self._launcher = launcher
        self._record = record
        self.specs = WorkerSpecs(settings, environ)
        self._recycling = Recycling(
            WorkerLimits(settings.max_requests_per_worker, settings.worker_memory_limit),
            self._pooled,
            self._run,
        )
        self._load_turns = LoadTurns(
            settings.max_concurrent_loads or max(available_cpus(), _LEAST_CONCURRENT_LOADS)
        )
        self._scaler = Scaler(self.grow, self.shrink, self._most_workers)
        limit = settings.memory_limit
        #: Admits loads and has models give way, where memory is limited.
        self.residency = (
            Residency(
                limit.of(total_memory()),
                settings.min_residence_s,
                partial(self.shrink, count=0),
                launcher.process_ids,
            )
            if limit is not None
            else None
        )
        self._stops: set[asyncio.Future[bool]] = set()
        #: Some worker of some model has loaded.
        self.has_loaded = False
        #: Done with the next load that ends, either way.
        self._next_load: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<ModelWorkers of {len(self._registry)} models>"

    def start(self, served: ServedModel, least: int, most: int | None = None) -> None:
        """Start the workers of a model and of its parts. `most`: that each may have; None: no more. A model whose
        document says how many workers its parts have gives them those.

        One with `lazy_load` has none before its first request, which starts as many.
        """
        counts = served.worker_counts()
        for model in pooled_models(served):
            fewest = counts.get(model.name, least)
            highest = fewest if most is None or model.name in counts else most
            if model.effective.lazy_load:
                first = min(max(fewest, 1), self._most_workers)
                self.scale(model, 0, max(highest, first), first)
                events.model_on_demand(model.name)
            else:
                self.scale(model, fewest, highest)

    def _pooled(self) -> list[PooledModel]:
        return [served for served in self._registry.all() if isinstance(served, PooledModel)]

    def renew(self, served: PooledModel) -> None:
        """Have all workers of a model start anew, as it is loaded by now. What it has accepted is answered."""
        pool = served.pool
        least, most, first = served.min_workers, served.max_workers, pool.first_workers
        if not served.pool.active:
            return
        # A parent that workers are forked from has loaded the model as it was.
        self._forget_parent(served)
        self.scale(served, 0, 0)
        self.scale(served, least, most, first)

    def _forget_parent(self, served: PooledModel) -> None:
        """End the process that workers are forked from; those that there are stay, the next ones get a new one."""
        former, served.key = served.key, new_key()
        served.stopping.append(asyncio.ensure_future(self._launcher.forget(former)))

    def check_count(self, parameter: str, count: int) -> None:
        """Raises BadRequest where a client asks for more workers than a model may have."""
        if count > self._most_workers:
            raise BadRequest(
                f"Parameter {parameter} must be at most {self._most_workers} (max_workers_per_model), not {count}."
            )

    def check_counts(self, initial_workers: int, max_worker: int | None) -> None:
        """Raises BadRequest where a registration asks for what a model may not have, or cannot."""
        self.check_count("initial_workers", initial_workers)
        if max_worker is None:
            return
        self.check_count("max_worker", max_worker)
        if max_worker < initial_workers:
            raise BadRequest(
                f"Parameter max_worker must be at least initial_workers, {initial_workers}, not {max_worker}."
            )

    def scale(
        self, served: PooledModel, min_workers: int, max_workers: int, first_workers: int = 1
    ) -> None:
        """Start workers, or let some go after what they run, until a model has as many, of which a cluster's fronts
        have a share each.

        With a minimum of 0 and another maximum a request that finds no worker starts `first_workers`.
        """
        if min_workers > self._most_workers:
            logger.warning(
                "Model %s has %d workers instead of %d, because max_workers_per_model is the limit.",
                *(served.name, self._most_workers, min_workers),
            )
            min_workers = self._most_workers
        if self.residency is not None and not served.runs_on_nodes:
            self.residency.know(served)
            self.residency.note_change()
        if self._shares:
            served.wanted = WorkerBounds(min_workers, max_workers)
            min_workers, max_workers = self._shares.bounds_of(served)
        served.pool.first_workers = first_workers
        served.model.load_backoff.clear()
        served.model.on_demand = partial(self._load_on_demand, served)
        starts, stops = served.pool.scale(min_workers, max_workers, self._gpus_beside(served))
        served.scaling.restart()
        served.stopping = [task for task in served.stopping if not task.done()]
        for worker in starts:
            self._run(served, worker)
        self._stop(served, stops)
        self.live.note(served)
        if served.pool.active:
            self._scaler.follow(served)

    def share_anew(self, served: PooledModel) -> None:
        """Have a model have the workers that are this front's by now: other fronts may have come or gone.

        A worker that is to be this front's, or not any more, is replaced once its successor serves.
        """
        pool = served.pool
        if served.wanted is None:
            return
        if self._shares.bounds_of(served) != (pool.min_workers, pool.max_workers):
            self.scale(served, served.min_workers, served.max_workers, pool.first_workers)
        for worker in pool.active:
            self._fit(served, worker)

    def _fit(self, served: PooledModel, worker: Worker) -> None:
        """Have a worker replaced that should be another front's and is not, or the other way round."""
        runner = served.runners.get(worker)
        spec = self._spec_of(served, worker)
        if runner is not None and runner.running.launcher != spec.launcher:
            runner.respecify(spec)
            whose = "another front's" if spec.launcher == PEER else "this front's own"
            self._recycling.on_spent(served, worker, f"is to be {whose}")

    def _spec_of(self, served: PooledModel, worker: Worker) -> WorkerSpec:
        return self._shares.applied_to(self.specs.of(served, worker), served)

    def shrink(self, served: PooledModel, count: int) -> None:
        """Let workers go after what they run, the newest first, so that so many stay."""
        self._stop(served, served.pool.shrink(count))
        if not count and served.effective.preload_model:
            # What is kept to fork workers from holds the whole model.
            self._forget_parent(served)

    def _stop(self, served: PooledModel, workers: Iterable[Worker]) -> None:
        timeout_s = self._settings.unregister_model_timeout + _END_S
        served.stopping = [task for task in served.stopping if not task.done()]
        for worker in workers:
            stop = asyncio.ensure_future(served.runners[worker].stop(timeout_s))
            self._stops.add(stop)
            stop.add_done_callback(self._stops.discard)
            served.stopping.append(stop)

    def _load_on_demand(self, served: PooledModel) -> None:
        """Start workers for a request that finds none, unless they could not load just now."""
        pool, backoff = served.pool, served.model.load_backoff
        if not served.is_on_demand:
            return
        if self.residency is not None and self.residency.has_room_again(served):
            backoff.retry()
        if backoff.may_load(time.monotonic()):
            events.model_demanded(served.name, self.grow(served, pool.first_workers))

    def grow(self, served: PooledModel, count: int) -> int:
        """Start more workers, at most as many as the model, and any model, may have. Return how many."""
        count = min(count, self._most_workers - len(served.pool.active))
        started = served.pool.grow(count, self._gpus_beside(served))
        self.live.note(served)
        for index, worker in enumerate(started):
            try:
                self._run(served, worker, has_to_wait=True)
            except Exception:
                # Nothing would ever start them.
                for left in started[index:]:
                    served.pool.remove(left)
                raise
        self._scaler.follow(served)
        return len(started)

    def _gpus_beside(self, served: PooledModel) -> list[int]:
        """The GPU of each worker of the other models, for a model whose workers have GPUs."""
        if not served.pool.gpus:
            return []
        return [
            worker.gpu_id
            for other in self._registry.all()
            if other is not served
            for worker in other.workers
            if worker.gpu_id is not None
        ]

    async def change(self, served: PooledModel, changes: Mapping[str, Any]) -> None:
        """Change options of a running model. Workers that have to know are replaced, one after the other.

        Nothing that waits or runs is lost; each worker gets batches of the size that it has been told.
        """
        parameters = served.effective.for_new_workers()
        change_model(self._settings, served, changes)
        if self.residency is not None:
            self.residency.note_change()
        if served.effective.for_new_workers() != parameters and served.effective.preload_model:
            # Workers that it has forked stay; it would fork more that have not what was changed.
            self._forget_parent(served)
        for worker, runner in list(served.runners.items()):
            runner.respecify(self._spec_of(served, worker))
            self._replace_if_stale(served, worker)
        self._dispatcher.schedule(served.model)
        self._scaler.follow(served)

    def is_changing(self, served: PooledModel) -> bool:
        """Whether some workers do not have what was changed."""
        parameters = served.effective.for_new_workers()
        return any(served.runners[w].running.parameters != parameters for w in served.pool.active)

    async def changed(self, served: PooledModel) -> None:
        """Return once all workers have what was changed. Raises WorkerStartFailed where one cannot load with it."""
        while self.is_changing(served):
            failed = next((w for w in served.pool.active if w.load_error), None)
            if failed is not None:
                raise WorkerStartFailed(reason=failed.load_error)
            await asyncio.sleep(_WAIT_S)

    def _replace_if_stale(self, served: PooledModel, worker: Worker) -> None:
        has = served.runners[worker].running.parameters
        changed = [n for n, value in served.effective.for_new_workers().items() if has[n] != value]
        if changed:
            self._recycling.on_spent(served, worker, f"was started with another {changed[0]}")

    async def load_ended(self) -> None:
        """Return when the next load of any worker has ended, either way."""
        if self._next_load is None or self._next_load.done():
            self._next_load = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._next_load)

    async def all_scaled(self, served: ServedModel) -> Outcome:
        """Wait for the workers of a model and of its parts, and log how far they are. Raises WorkerStartFailed."""
        models = pooled_models(served)
        if not served.parts:
            return await self.scaled(models[0])
        outcome = Outcome(200, None, f'Model "{served.name}" registered')
        for number, model in enumerate(models, 1):
            try:
                found = await self.scaled(model)
            except WorkerStartFailed as error:
                text = f"Model {model.full_name} of {served.name}: {error.message}"
                failed = WorkerStartFailed(text, error.http_status, error.reason)
                failed.model_name, failed.model_version = model.name, model.version
                raise failed from None
            state = "is loaded" if model.is_ready else "is loading beside its first requests"
            logger.info(
                "%s: model %s %s (%d of %d)",
                *(served.name, model.full_name, state, number, len(models)),
            )
            if model is served or found.status != 200:
                outcome = found
        return outcome

    async def scaled(self, served: PooledModel) -> Outcome:
        """Wait until each worker that is on its way has loaded or failed once, or has ended."""
        if served.stopping:
            stopping, served.stopping = served.stopping, []
            await asyncio.wait(stopping)
        runners = [served.runners[worker] for worker in served.pool.active]
        outcomes = [await runner.wait_attempt() for runner in runners]
        if len(runners) < served.pool.min_workers and served.load_failure is not None:
            # One has failed for good, and was gone before it was waited for.
            outcomes.append(served.load_failure)
        failed = [o for o in outcomes if not o.is_success and o is not STOPPED]
        if failed:
            code = 507 if any(outcome.code == 507 for outcome in failed) else 500
            message = "Failed to start workers"
            if _tells_why(served.interface) and failed[0].error:
                # MMS's clients compare the text; those of other models are told why.
                message = f"{message}: {failed[0].error}"
            raise WorkerStartFailed(message, code, failed[0].error)
        ready = sum(1 for w in served.pool.active if w.state is WorkerState.READY)
        return SCALED if ready >= served.pool.min_workers else SCALING

    async def forget(self, served: ServedModel) -> None:
        """Keep nothing for a model that is gone."""
        self._dispatcher.forget(served.model)
        self.live.forget(served)
        if isinstance(served, PooledModel):
            await self._launcher.forget(served.key)

    def close_recycling(self) -> None:
        """Replace no worker any more, and start or stop none by load or for memory."""
        self._recycling.close()
        self._scaler.close()
        if self.residency is not None:
            self.residency.close()

    async def close(self) -> None:
        """Wait for those on their way out. Call after all models have drained."""
        if self._stops:
            await asyncio.wait(self._stops, timeout=_END_S)

    def _run(self, served: PooledModel, worker: Worker, *, has_to_wait: bool = False) -> None:
        """Start a worker. `has_to_wait`: until others have loaded that nobody has asked for by number, either."""
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
            self._spec_of(served, worker),
            self._launcher,
            self._dispatcher,
            self._record,
            self.client,
            start_timeout_s=self._settings.worker_start_timeout_s,
            tracking=served.tracking,
            prepare=served.requirements.install if served.requirements is not None else None,
            turn=partial(self._turn, served, worker, has_to_wait=has_to_wait),
            confirm=self._confirmation(served, worker),
            may_retry=lambda: not served.is_awaited and _is_retried(served, worker),
            on_outcome=lambda outcome: self._on_load(served, worker, outcome),
            on_end=lambda runner: self._on_worker_end(served, runner),
        )

    def _confirmation(
        self, served: PooledModel, worker: Worker
    ) -> Callable[[], Awaitable[None]] | None:
        """Return what a process is checked by that has loaded the model, where memory is limited."""
        if self.residency is None or served.runs_on_nodes:
            return None
        return partial(self.residency.confirm, served, worker)

    @asynccontextmanager
    async def _turn(
        self, served: PooledModel, worker: Worker, *, has_to_wait: bool
    ) -> AsyncIterator[None]:
        """What a load waits for: that few others go on, and memory where that is limited.

        In this order: models give way to loads that begin then, and not to all that wait for their turn.
        Raises LaunchFailed and LoadNotWanted.
        """
        if served.runs_on_nodes or self._shares.is_borrowed(served):
            # It takes nothing of this machine, and may wait for a node for long.
            yield
            return
        residency, turns, timeout_s = self.residency, self._load_turns, served.load_timeout_s
        is_wanted = partial(_is_awaited, served)
        turn = turns.turn(worker, timeout_s, is_wanted) if has_to_wait else nullcontext()
        async with turn, residency.room(served, worker) if residency else nullcontext():
            yield

    def _on_load(self, served: PooledModel, worker: Worker, outcome: LoadOutcome) -> None:
        if outcome.is_success:
            self.has_loaded = True
            served.model.load_backoff.clear()
            self._replace_if_stale(served, worker)
            if self._shares:
                self._fit(served, worker)
            if outcome.interface and outcome.interface != served.interface:
                served.interface = outcome.interface
                self._registry.changed()
            if served.is_ready and not served.has_loaded:
                served.has_loaded = True
                events.model_loaded(served.name)
        elif self.residency is not None:
            self.residency.forget(served, worker)
        # An `initialize` that failed and was ignored has a traceback to show, too.
        served.load_failure = outcome if outcome.traceback or not outcome.is_success else None
        if self._next_load is not None and not self._next_load.done():
            self._next_load.set_result(None)

    def _on_worker_end(self, served: PooledModel, runner: WorkerRunner) -> None:
        served.runners.pop(runner.worker, None)
        served.pool.remove(runner.worker)
        self.live.note(served)
        if self.residency is not None:
            self.residency.forget(served, runner.worker)
        model, failure, now = served.model, runner.failure, time.monotonic()
        # Of several that were started together the first one counts.
        if failure is not None and model.load_backoff.may_load(now):
            model.load_backoff.note_failure(failure.error, now, failure.code)
        if not model.workers:
            recovery.fail_queue(model)


def _is_retried(served: PooledModel, worker: Worker) -> bool:
    """Whether a worker that cannot load is started again without a request: somebody has asked for it by number."""
    return not served.is_on_demand or worker.replaces is not None


def _is_awaited(served: PooledModel) -> bool:
    """Whether a load that nobody has asked for by number is still of use: for a request, or beside a loaded worker."""
    if not served.is_on_demand or served.is_loaded or served.interface == AUTO:
        # Without an interface some wait for the load itself, and not in the queue.
        return True
    return any(not request.is_done for request in served.model.queue)


def _tells_why(interface: str) -> bool:
    return interface != AUTO and not find_interface(interface).has_fixed_load_error
