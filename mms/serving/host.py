"""The operations on models: register, scale, predict, describe, unregister."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mms import faults
from mms.core import Registry, Request, recovery
from mms.errors import (
    BadRequest,
    Conflict,
    ModelNotFound,
    RequestTimeout,
    ServiceUnavailable,
)
from mms.launch import Launcher
from mms.machine.cpus import available_cpus
from mms.observe import events
from mms.observe.metrics.aggregates import Aggregates
from mms.repository import Repository
from mms.serving.dependencies import Dependencies
from mms.serving.dispatcher import Dispatcher
from mms.serving.draining import drain_models
from mms.serving.health import ping_status, server_problems
from mms.serving.model_client import ModelClient
from mms.serving.operations import Operations
from mms.serving.options import PROCESSING, Outcome, RegisterOptions
from mms.serving.registration.registering import Registering
from mms.serving.registration.registrar import Registrar
from mms.serving.removal import ModelRemoval
from mms.serving.samples import Redaction, RequestSamples
from mms.serving.served import ServedModel, with_workers
from mms.serving.shared.cluster import Cluster
from mms.serving.shared.journal import journal_of
from mms.serving.state.registration_store import RegistrationStore
from mms.serving.state.startup_models import LOADING, NOT_REGISTERED, StartupModels, StartupProblem
from mms.serving.stored import BoundsOf, Catalog, StoredModels
from mms.serving.tracking.drift import model_drift
from mms.serving.tracking.model_tracking import Tracking
from mms.serving.watched import ModelSwap, Watched
from mms.serving.workers.model_workers import ModelWorkers
from mms.serving.workers.requirements import RequirementsInstaller
from mms.serving.workers.runner import WorkerEvents
from mms.serving.workers.scaler import describe_scaling

if TYPE_CHECKING:
    from mms.observe.metrics.prometheus import FamilyMaker
    from mms.settings import Settings

logger = logging.getLogger("mms.serving")

#: Before a drain is given up, requests that still run are told so, in seconds.
_LAST_CALL_S = 0.05


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
        cluster: Cluster | None = None,
    ) -> None:
        """`cluster`: with whose other fronts it shares what is registered."""
        self.settings = settings
        self.dispatcher = Dispatcher()
        self.registry: Registry[ServedModel] = Registry(lambda served: served.asks_models)
        self._dependencies = Dependencies(self.registry)
        self.tracking = Tracking()
        self.operations = Operations()
        #: Who looks at live requests.
        self.samples = RequestSamples(Redaction(settings.sample_redact or ()))
        #: Returns what was counted of requests and batches since the start.
        self.measured: Callable[[], Aggregates] = Aggregates
        #: What clients may name outside the model store.
        self.sources = repository.sources
        self._start_count = settings.worker_count_at_startup(gpu_count, available_cpus())
        self._environ = os.environ if environ is None else environ
        client = ModelClient(self)
        self._workers = ModelWorkers(
            *(settings, self.registry, client, self.dispatcher, launcher, record, self._environ),
            cluster,
        )
        # Another account reaches the server's own folder, but not what it keeps for itself.
        lasting = repository.lasting_requirements_dir if settings.worker_user is None else None
        self._installer = RequirementsInstaller(
            lasting or repository.requirements_dir,
            settings,
            self._environ,
            self._workers.specs.installer_environment(),
        )
        self._registrar = Registrar(
            *(settings, repository, self.registry, self.tracking, client),
            *(self._register, self._discard, self._environ, gpu_count, self.dispatcher),
            *(self._workers.renew, self._installer),
        )
        self._store = RegistrationStore(journal_of(settings, cluster), self.registry, settings)
        self.registration_listeners = self._store.listeners
        self._removal = ModelRemoval(self.registry, self._registrar, self._workers, self._store)
        self._registering = Registering(
            *(settings, self.registry, self._registrar, self._workers, self._removal, self._store)
        )
        self._startup = StartupModels(
            *(settings, repository, self.registry, self._registrar.add, self._registering.start),
            self._workers.live.all,
        )
        swap = ModelSwap(
            *(self.registry, self._registrar, self._workers, self._removal),
            self._registering.start,
            timeout_s=settings.unregister_model_timeout,
            at_once=available_cpus(),
        )
        self.watched = Watched(settings, swap, count=self._start_count)
        if cluster is not None:
            # With what a server alone has no use for.
            from mms.serving.shared.front import ClusterFront

            self.watched.shared = ClusterFront(
                *(cluster, self.registry, self._workers, swap, self._store, self)
            )
        catalog = Catalog(repository.model_store, repository.limits)
        self.stored = StoredModels(
            *(self.registry, catalog, swap, self._removal, self._startup),
            *(self._register, self.unregister, self._store.save, self.users_of),
            count=settings.default_workers_per_model,
        )

    def __repr__(self) -> str:
        return f"<ModelHost of {len(self.registry)} models>"

    def collectors(self) -> list[FamilyMaker]:
        """Return what has measured models that ask others, and the memory of all, for Prometheus."""
        found = [each for factory in self._registrar.factories for each in factory.collectors]
        return [*found, self._workers.residency] if self._workers.residency else found

    # Predictions

    def submit(self, request: Request) -> None:
        """Take a request; exactly one reply follows. Raises ModelNotFound or ServiceUnavailable at once."""
        served = self.registry.get(request.name, request.version)
        if self._registrar.is_closed:
            self._registrar.check_open()
        if self.samples.is_on:
            self.samples.note_request(request)
        served.submit(request)

    def submit_nested(self, request: Request) -> None:
        """Take a request that is part of another one, also while a drain waits for that. Raises as `submit`."""
        self.registry.get(request.name, request.version).submit(request)

    def dispatch_due(self) -> None:
        """Send on what was submitted in this turn of the event loop: the caller knows that nothing can join it."""
        self.dispatcher.dispatch_due()

    def cancel(self, request: Request) -> None:
        """The client is gone: drop its request from the queue, or tell the worker that has it."""
        if request.is_done:
            return
        served = self._removal.leaving_with(request)
        try:
            served = served or self.registry.get(request.name, request.version)
        except ModelNotFound:
            request.is_done = True
            return
        served.cancel(request)

    def check_model(self, name: str, version: str | None = None) -> None:
        """Raises ModelNotFound or ModelVersionNotFound."""
        self.registry.get(name, version)

    def check_room(self, name: str, version: str | None = None) -> None:
        """Raises as `submit` would now, before work is put into reading a request."""
        served = self.registry.get(name, version)
        self._registrar.check_open()
        served.check_room()

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

    async def learn_interface(self, name: str) -> str:
        """The same once a model that is loaded on demand has been loaded to find it. Raises ModelNotFound."""
        served = self.registry.get(name)
        await served.learn_interface()
        return served.interface

    def not_loaded(self, name: str) -> ServiceUnavailable:
        """The error where what a request needs is known only once a worker has loaded. Raises ModelNotFound.

        Where the model is loaded on demand, it is when the client comes back.
        """
        served = self.registry.get(name)
        served.model.demand_worker()
        return served.not_loaded()

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
        return self._dependencies.users_of(name)

    def is_graph(self, name: str) -> bool:
        """Whether a model is a graph of others. Raises ModelNotFound."""
        return self.registry.get(name).is_composite

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
        entries = await self._startup.entries()
        restored = await self._store.restore(
            self._registrar.add, self._workers.scale, frozenset(entries)
        )
        await self._startup.load(self._start_count, entries, restored)
        self._startup.tell_of_idle_settings()
        with suppress(Conflict):
            # Another front of the cluster has started with the same models, whose registrations this one follows.
            await self._store.save(
                *(s.name for s in self._startup.models.difference(restored.models))
            )
        await self.watched.start()

    async def register(self, options: RegisterOptions, *, is_kept: bool = True) -> Outcome:
        """Fetch an archive and make it a model. A call that waits leaves none behind whose workers cannot load it.

        `is_kept`: the state file, if there is one, has it for the next start. Raises Conflict where the model was
        unregistered before its workers had loaded.
        """
        served, outcome = await self._register(options, is_kept=is_kept)
        return outcome.of_model(served.name, served.version, served.without_effect)

    async def follow(self, options: RegisterOptions, path: Path) -> None:
        """Register a model, and load it anew whenever what lies at a path has changed. It may fail to load."""
        await self.watched.follow(path, options, partial(self._register, is_kept=False))

    async def _register(
        self, options: RegisterOptions, bounds_of: BoundsOf | None = None, *, is_kept: bool = True
    ) -> tuple[ServedModel, Outcome]:
        self._check_open()
        return await self._registering.register(options, bounds_of, is_kept=is_kept)

    def _check_open(self) -> None:
        """Raises ServiceUnavailable where what is registered cannot be changed now."""
        self._registrar.check_open()
        if self.watched.shared is not None:
            self.watched.shared.check_open()

    # Scaling

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
        self._check_open()
        self._workers.check_count("min_worker", min_workers)
        served = with_workers(await self.registry.get(name, version).woken(), "scale")
        self._workers.scale(served, min_workers, max_workers)
        await self._store.save(name)
        if not synchronous:
            return PROCESSING
        return await self._registering.scaled(served)

    async def change(
        self, name: str, version: str | None, changes: Mapping[str, Any], synchronous: bool
    ) -> Outcome:
        """Change members of a running model's registration; what it serves goes on. A state file keeps them.

        With `synchronous` its workers have them when this returns.
        """
        self._check_open()
        served = with_workers(await self.registry.get(name, version).woken(), "change")
        await self._workers.change(served, changes)
        await self._store.save(name)
        if synchronous:
            await self._workers.changed(served)
        elif self._workers.is_changing(served):
            return PROCESSING
        return Outcome(200, None, f'Model "{name}" changed')

    # Removal

    async def unregister(self, name: str, version: str | None = None) -> Outcome:
        """Remove a model: what it has accepted is answered first, within `unregister_model_timeout`.

        Raises RequestTimeout where that was not enough; the model is back then, without workers.
        """
        self._check_open()
        if not self.has_model(name, version) and await self._store.drop(name, version):
            return Outcome(200, None, f'Model "{name}" unregistered')
        served = self.registry.get(name, version)
        self._removal.check(served)
        if not await self._removal.remove(served, self.settings.unregister_model_timeout):
            if not self.registry.holds(served):
                self._startup.models.discard(served)
            raise RequestTimeout(f"Timed out while cleaning resources: {name}")
        self._startup.models.discard(served)
        events.model_unregistered(name)
        return Outcome(200, None, f'Model "{name}" unregistered')

    async def _discard(self, served: ServedModel) -> None:
        await self._removal.discard(served)

    # Versions

    async def set_default(self, name: str, version: str) -> Outcome:
        self._check_open()
        self.registry.set_default(name, version)
        await self._store.save(name)
        return Outcome(
            200, None, f'Default version successfully updated for model "{name}" to "{version}"'
        )

    # What there is

    async def describe(self, name: str, version: str | None = None) -> dict[str, Any]:
        served = await self._registrar.find(name, version).woken()
        return served.describe(self.registry.is_default(served))

    async def describe_all(self, name: str) -> list[dict[str, Any]]:
        every = [await served.woken() for served in self._registrar.versions(name)]
        return [served.describe(self.registry.is_default(served)) for served in every]

    def scaling(self, name: str, version: str | None = None) -> dict[str, Any]:
        """What was decided of a model's workers by its load. Raises BadRequest, ModelNotFound."""
        return describe_scaling(self._registrar.find(name, version))

    async def drift(self, name: str, version: str | None, last: int | None) -> dict[str, Any]:
        """How far its newest requests lie from what it was trained on. Raises BadRequest, ModelNotFound."""
        return await model_drift(await self._registrar.find(name, version).woken(), last)

    def list_models(self) -> list[tuple[str, str]]:
        """(name, url) of the default versions, by name."""
        return [(served.name, served.url) for served in self.registry.defaults()]

    def model_infos(self) -> list[tuple[str, str, str, list[tuple[bool, int]]]]:
        """(name, url, handler, [(worker is running, RSS in bytes)]) of the default versions."""
        return [served.info() for served in self.registry.defaults()]

    def ping(self) -> str:
        """Healthy, Partial Healthy or Unhealthy. With `strict_ping` a worker counts only once it has loaded.

        It is not Healthy while a model that was named at the start is missing or failed to load.
        """
        lacks = [p for p in self._startup.problems() if p.state != LOADING]
        return ping_status(
            self._workers.live.all(), is_strict=self.settings.strict_ping, missing=len(lacks)
        )

    def problems(self) -> list[str]:
        """Why the server should get no requests now; empty where it should."""
        if self._registrar.is_closed:
            return ["The server is shutting down."]
        missing = [str(p) for p in self._startup.problems() if p.state in NOT_REGISTERED]
        return missing + server_problems(self._workers.live.all())

    def problems_of(self, name: str, version: str | None = None) -> list[str]:
        """Why a model cannot take requests; empty where it can. Raises ModelNotFound."""
        served = self.registry.get(name, version)
        return ["The server is shutting down."] if self._registrar.is_closed else served.problems()

    def startup_problems(self) -> list[str]:
        """What is missing of the models that the server was started with; nothing for good once they have loaded."""
        return self._startup.remaining_problems()

    async def startup_models_settled(self, timeout_s: float) -> list[StartupProblem]:
        """Wait until what was named at the start has loaded or failed, or for so long; return what is not up then."""
        return await self._startup.settled(timeout_s, self._workers.load_ended)

    def is_anything_loaded(self) -> bool:
        """Whether some worker of some model has ever loaded, or a model has none until its first request."""
        return self._workers.has_loaded or any(s.is_on_demand for s in self.registry.all())

    # The end

    async def drain(self, timeout_s: float) -> bool:
        """Take no more requests; answer what was accepted, end the workers. Returns whether the time was enough."""
        self._registrar.is_closed = True
        self.watched.close()
        self._workers.close_recycling()
        # Just before the workers are ended, whose requests would fail as those of a crash.
        delay_s = max(timeout_s - _LAST_CALL_S, 0)
        last_call = asyncio.get_running_loop().call_later(delay_s, self.fail_what_runs)
        try:
            return await drain_models(self.registry.all(), timeout_s)
        finally:
            last_call.cancel()

    def fail_what_runs(self) -> None:
        """Tell the clients of all requests that the server does not wait for their answers."""
        for served in self.registry.all():
            with faults.contained("shutdown", served.name, served.version):
                recovery.fail_all(served.model, ServiceUnavailable("The server is shutting down."))

    async def close(self) -> None:
        """Give everything back. Call after `drain`."""
        await self.operations.close()
        await self._store.close()
        await self._removal.close()
        await self._workers.close()
        await self._installer.close()
        await self._registrar.close()
        self.dispatcher.close()
