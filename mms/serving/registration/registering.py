"""A registration as clients and other servers' forms of it ask for one: a model, its workers, and word of both."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from archiver import is_runtime
from archiver.model_config import WorkerBounds
from mms.core import Registry
from mms.errors import BadRequest, Conflict, WorkerStartFailed
from mms.serving.options import PROCESSING, Outcome, RegisterOptions
from mms.serving.registration.registrar import Registrar
from mms.serving.removal import ModelRemoval
from mms.serving.served import ServedModel, pooled_models, with_workers
from mms.serving.state.registration_store import RegistrationStore
from mms.serving.workers.model_workers import ModelWorkers

if TYPE_CHECKING:
    from mms.settings import Settings


class Registering:
    """Called on the event loop."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry[ServedModel],
        registrar: Registrar,
        workers: ModelWorkers,
        removal: ModelRemoval,
        store: RegistrationStore,
    ) -> None:
        self._count = settings.default_workers_per_model
        self._registry = registry
        self._registrar = registrar
        self._workers = workers
        self._removal = removal
        self._store = store

    def __repr__(self) -> str:
        return f"<Registering in {self._registry!r}>"

    async def register(
        self,
        options: RegisterOptions,
        bounds_of: Callable[[ServedModel], WorkerBounds] | None = None,
        *,
        is_kept: bool = True,
    ) -> tuple[ServedModel, Outcome]:
        """Fetch an archive and make it a model. A call that waits leaves none behind whose workers cannot load it.

        `bounds_of`: how many workers it has, else as its registration or archive says. `is_kept`: see
        `ModelHost.register`. Raises Conflict where the model was unregistered before its workers had loaded, and where
        another front of the cluster has registered another one meanwhile.
        """
        if options.runtime is not None and not is_runtime(options.runtime):
            raise BadRequest(f"Invalid RuntimeType value: {options.runtime}")
        self._workers.check_counts(options.initial_workers or 0, options.max_worker)
        served = await self._registrar.add(options, None)
        bounds = served.first_bounds(self._count) if bounds_of is None else bounds_of(served)
        models = pooled_models(served)
        if models:
            self._workers.start(served, bounds.least, bounds.most)
        else:
            self.start(served, bounds.least, bounds.most)
            await self._nodes_up(served)
        if not any(model.runners for model in models):
            await self._keep(served, options, is_kept)
            return served, Outcome(200, None, f'Model "{served.name}" registered')
        for model in models:
            model.is_awaited = options.synchronous
        if not options.synchronous:
            await self._keep(served, options, is_kept)
            return served, PROCESSING
        try:
            outcome = await self.scaled(served)
        except WorkerStartFailed as error:
            await self._removal.discard(served)
            error.note_gone(served.name, served.version)
            raise
        finally:
            for model in models:
                model.is_awaited = False
        await self._keep(served, options, is_kept)
        return served, outcome

    def start(self, served: ServedModel, least: int, most: int) -> None:
        """Start the workers of a model, and of a graph's nodes as many as its document says."""
        self._workers.start(served, least, most)
        for name, workers in served.worker_counts().items():
            for node in self._registry.versions(name):
                self._workers.start(with_workers(node, "scale"), workers)

    async def scaled(self, served: ServedModel) -> Outcome:
        """Wait for a model's workers. Raises WorkerStartFailed, and Conflict where the model goes meanwhile."""
        try:
            outcome = await self._workers.all_scaled(served)
        except WorkerStartFailed:
            if self._registry.holds(served):
                raise
        if not self._registry.holds(served):
            raise Conflict(f"Model {served.name} was unregistered while its workers were starting.")
        return outcome

    async def _nodes_up(self, served: ServedModel) -> None:
        """Wait for the nodes that a new graph has given parameters to. Raises as `scaled`; the graph is gone then."""
        nodes = [
            node for factory in self._registrar.factories for node in factory.owned_nodes(served)
        ]
        for node in nodes:
            try:
                await self._workers.scaled(node)
            except WorkerStartFailed:
                if node.node is None or not node.node.arguments:
                    continue
                await self._removal.discard(served)
                raise

    async def _keep(self, served: ServedModel, options: RegisterOptions, is_kept: bool) -> None:
        if not is_kept:
            return
        served.registration = options
        try:
            await self._store.save(served.name)
        except Conflict:
            served.registration = None
            await self._removal.discard(served)
            raise
