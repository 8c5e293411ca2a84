"""Models that are added and put in the place of others without a moment in which nobody answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from archiver.model_config import WorkerBounds
from mms.core import Registry, new_request_id
from mms.errors import InvalidModel, ServerError
from mms.serving.options import RegisterOptions
from mms.serving.registration.registrar import Registrar
from mms.serving.removal import ModelRemoval
from mms.serving.served import PooledModel, ServedModel, pooled_models
from mms.serving.workers.model_workers import ModelWorkers
from mms.text.media_type import BINARY, media_type_of

logger = logging.getLogger("mms.serving")

#: In an archive: a request that its model must answer before it takes the place of another one.
SAMPLE: Final = "sample_request.*"
_SHOWN: Final = 300

#: Starts workers of a model, at least and at most so many, which load in the background.
Start = Callable[[ServedModel, int, int], None]


class Superseded(Exception):
    """What was to take the place of a model has changed again before it was tried."""


class ModelSwap:
    """Adds, replaces and removes models for the operator. Called on the event loop."""

    def __init__(
        self,
        registry: Registry[ServedModel],
        registrar: Registrar,
        workers: ModelWorkers,
        removal: ModelRemoval,
        start: Start,
        *,
        timeout_s: float,
        at_once: int,
    ) -> None:
        """`timeout_s`: what a model that goes has for the requests that it has accepted.

        `at_once`: archives that are read at one time.
        """
        self._registry = registry
        self._registrar = registrar
        self._workers = workers
        self._removal = removal
        self._start = start
        self._timeout_s = timeout_s
        self._turns = asyncio.Semaphore(at_once)

    def __repr__(self) -> str:
        return f"<ModelSwap in {self._registry!r}>"

    def holds(self, served: ServedModel) -> bool:
        return self._registry.holds(served)

    async def add(
        self,
        options: RegisterOptions,
        default_name: str,
        count: int,
        wanted: WorkerBounds | None = None,
    ) -> ServedModel:
        """Register a model, whose workers load in the background. Raises as a registration does.

        `wanted`: how many workers, else as its registration or archive says, else `count`.
        """
        async with self._turns:
            served = await self._registrar.add(options, default_name)
        bounds = wanted or served.first_bounds(count)
        self._start(served, bounds.least, bounds.most)
        return served

    async def replace(
        self,
        old: ServedModel,
        options: RegisterOptions,
        default_name: str,
        count: int,
        wanted: WorkerBounds | None = None,
        superseded: asyncio.Future[None] | None = None,
    ) -> ServedModel:
        """Load a model, try it, have it take the place of another one, and let that one finish.

        It has as many workers as the old one, unless `wanted` says how many.

        Where it cannot be loaded, or does not answer its archive's sample request, the old one stays, and the reason is
        raised as an error of `mms.errors`. So it does where the new one has another name and others ask the old one.
        Models that come with them change with them, at the same time.
        Once `superseded` is done it is no longer waited for, and Superseded is raised.
        """
        async with self._turns:
            registration = await self._registrar.prepare(options, default_name, old)
        new = registration.served
        parts = [each.served for each in registration.prepared]
        try:
            if new.name != old.name:
                self._removal.check(old)
            bounds = new.first_bounds(count)
            if wanted is not None:
                bounds = wanted
            elif isinstance(old, PooledModel) and old.max_workers:
                bounds = WorkerBounds(old.min_workers, old.max_workers)
            models = pooled_models(new)
            for model in models:
                model.is_awaited = True
            self._start(new, bounds.least, bounds.most)
            if any(model.runners for model in models):
                await self._unless_superseded(self._try(new), superseded)
            for model in models:
                model.is_awaited = False
            await self._registrar.publish(registration)
        except BaseException:
            for served in (new, *parts):
                await self._removal.retire(served, 0)
            await registration.undo_parts()
            raise
        logger.info("Model %s is the new one; the former one finishes.", new.full_name)
        # It may still ask its parts; those that nothing has taken the place of go with it.
        replaced = [part for part in old.parts if not self._registry.holds(part)]
        for served in (old, *replaced):
            await self._removal.retire(served, self._timeout_s)
        return new

    def scale(self, served: ServedModel, bounds: WorkerBounds) -> None:
        """Have a model have so many workers."""
        self._start(served, bounds.least, bounds.most)

    def make_default(self, served: ServedModel) -> None:
        """Have a model be the default version of its name."""
        if served.version and not self._registry.is_default(served) and self.holds(served):
            self._registry.set_default(served.name, served.version)

    async def remove(self, served: ServedModel) -> None:
        """Remove a model after what it has accepted is answered. Raises Conflict where others depend on it."""
        if self._registry.holds(served):
            self._removal.check(served)
            await self._removal.remove(served, self._timeout_s)

    async def loaded(self, served: ServedModel, superseded: asyncio.Future[None]) -> None:
        """Wait for the workers of a model that has just been registered. It is gone where they cannot load it.

        Raises WorkerStartFailed then, and Superseded, with which it is gone, too.
        """
        models = pooled_models(served)
        for model in models:
            model.is_awaited = True
        try:
            if any(model.runners for model in models):
                await self._unless_superseded(self._workers.all_scaled(served), superseded)
        except BaseException:
            await self._removal.discard(served)
            raise
        finally:
            for model in models:
                model.is_awaited = False

    @staticmethod
    async def _unless_superseded(
        work: Coroutine[Any, Any, object], superseded: asyncio.Future[None] | None
    ) -> None:
        """Do what may hang. Raises what it raises, and Superseded."""
        trying = asyncio.get_running_loop().create_task(work)
        try:
            ends = (trying,) if superseded is None else (trying, superseded)
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if not trying.done():
                raise Superseded
            await trying
        finally:
            trying.cancel()

    async def _try(self, served: ServedModel) -> None:
        await self._workers.all_scaled(served)
        await self._check_sample(served)

    async def _check_sample(self, served: ServedModel) -> None:
        folder = served.archive.folder
        found = await asyncio.to_thread(lambda: sorted(folder.glob(SAMPLE)))
        if not found:
            return
        status, body = await self._ask(served, found[0])
        if status >= 400:
            raise InvalidModel(f"{found[0].name} is answered by {status}: {body[:_SHOWN]}")

    async def _ask(self, served: ServedModel, sample: Path) -> tuple[int, str]:
        content_type = (media_type_of(sample.name) or BINARY).encode()
        try:
            answer = await self._workers.client.ask(
                served.name,
                served.version,
                id=new_request_id(),
                headers=b"content-type\n" + content_type,
                content_type=content_type,
                body=await asyncio.to_thread(sample.read_bytes),
                taker=served,
            )
        except ServerError as error:
            return error.http_status, error.message or type(error).__name__
        return answer.status, answer.text
