"""How models leave the registry: on a call, with the model that they are a part of, or since they never came up."""

from __future__ import annotations

import asyncio

from mms.core import Registry, Request
from mms.errors import Conflict
from mms.serving.dependencies import Dependencies
from mms.serving.registration.registrar import Registrar
from mms.serving.served import ServedModel
from mms.serving.state.registration_store import RegistrationStore
from mms.serving.workers.model_workers import ModelWorkers


class ModelRemoval:
    """Takes models out of the registry and ends them. Called on the event loop.

    Whoever has taken a model out of the registry ends it, and nobody else.
    """

    def __init__(
        self,
        registry: Registry[ServedModel],
        registrar: Registrar,
        workers: ModelWorkers,
        store: RegistrationStore,
    ) -> None:
        self._dependencies = Dependencies(registry)
        self._registry = registry
        self._registrar = registrar
        self._workers = workers
        self._store = store
        #: Out of the registry, and still answering what they had accepted.
        self.leaving: list[ServedModel] = []

    def __repr__(self) -> str:
        return f"<ModelRemoval, {len(self.leaving)} models leaving>"

    def leaving_with(self, request: Request) -> ServedModel | None:
        """Return the model on its way out that has a request; another one of its name may be registered by now."""
        return next((model for model in self.leaving if model.has(request)), None)

    async def remove(self, served: ServedModel, timeout_s: float) -> bool:
        """Remove a model and its parts after what it has accepted is answered. Return whether the time was enough.

        Where it was not, the model is back, without workers, unless its name is taken by now.
        """
        self._registry.remove(served)
        self._assign_parts(served)
        is_clean = await self._finish(served, timeout_s)
        if is_clean:
            await self._end(served, timeout_s)
        else:
            await self._restore(served)
        await self._store.save(served.name)
        return is_clean

    async def retire(self, served: ServedModel, timeout_s: float) -> None:
        """End a model that is not in the registry, after what it has accepted is answered, if that takes no longer."""
        await self._finish(served, timeout_s)
        await self._end(served, timeout_s)

    def check(self, served: ServedModel) -> None:
        """Raises Conflict and InvalidVersion for a model that others depend on."""
        self._registry.check_removable(served)
        self._dependencies.check_removable(served)

    async def _finish(self, served: ServedModel, timeout_s: float) -> bool:
        self.leaving.append(served)
        try:
            return await served.drain(timeout_s)
        finally:
            self.leaving.remove(served)

    async def discard(self, served: ServedModel, timeout_s: float = 0) -> None:
        """Remove a model whatever depends on it: its workers could not load, or the model that it is a part of goes."""
        if not self._registry.remove(served):
            return
        self._assign_parts(served)
        await served.drain(timeout_s)
        await self._end(served, timeout_s)
        if served.registration is not None:
            await self._store.save(served.name)

    async def close(self) -> None:
        """Give back what all models hold. Call after they have drained."""
        every = self._registry.all()
        for served in every:
            self._registry.remove(served)
        await asyncio.gather(*(self._release(served) for served in every))

    async def _restore(self, served: ServedModel) -> None:
        served.reopen()
        try:
            self._registry.add(served)
        except Conflict:
            await self._end(served, 0)
        else:
            self._assign_parts(served)

    async def _end(self, served: ServedModel, timeout_s: float) -> None:
        for part in served.parts:
            await self.discard(part, timeout_s)
        await self._release(served)

    def _assign_parts(self, served: ServedModel) -> None:
        if served.is_composite:
            self._registrar.assign_parts()

    async def _release(self, served: ServedModel) -> None:
        await self._workers.forget(served)
        release, served.release = served.release, None
        if release is not None:
            await release()
