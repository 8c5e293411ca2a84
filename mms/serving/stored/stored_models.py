"""Models by name, whether they are registered or only lie in the store: what clients list, load and unload."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from archiver.model_config import ConfigKeys, WorkerBounds
from mms.core import Registry, WorkerState
from mms.errors import BadRequest, Conflict, InvalidModel, ModelNotFound
from mms.serving.options import RegisterOptions
from mms.serving.served import ServedModel
from mms.serving.state.startup_models import StartupModels
from mms.serving.stored.catalog import Catalog, StoredArchive
from mms.text.brief import brief
from mms.text.nearest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mms.serving.removal import ModelRemoval
    from mms.serving.watched.model_swap import ModelSwap

logger = logging.getLogger("mms.serving")

READY = "READY"
LOADING = "LOADING"
UNLOADING = "UNLOADING"
UNAVAILABLE = "UNAVAILABLE"

_NOT_LOADED = "not loaded"
#: A name of a model may have a slash; here such a text would be a place on the disk, or an address.
_OF_PATHS = re.compile(r"[/\\\x00-\x1f]|^\.\.?$")
_COMING = (WorkerState.STARTING, WorkerState.LOADING)

#: How many workers a model that was just made is to have.
BoundsOf = Callable[[ServedModel], WorkerBounds]
#: Registers a model, and waits for its workers.
Register = Callable[[RegisterOptions, BoundsOf], Awaitable[object]]
#: Removes a version of a model, the default one for None.
Unregister = Callable[[str, "str | None"], Awaitable[object]]
#: Writes to the state file what is registered of a name.
Save = Callable[[str], Awaitable[None]]


class ModelState(NamedTuple):
    """A model version and whether it serves. `version`: None for a model without. `reason`: why it does not."""

    name: str
    version: str | None
    state: str
    reason: str = ""


class StoredModels:
    """Lists, loads and unloads models by name. Called on the event loop. One name has one operation at a time."""

    def __init__(
        self,
        registry: Registry[ServedModel],
        catalog: Catalog,
        swap: ModelSwap,
        removal: ModelRemoval,
        startup: StartupModels,
        register: Register,
        unregister: Unregister,
        save: Save,
        users_of: Callable[[str], Sequence[str]],
        *,
        count: int,
    ) -> None:
        """`users_of`: the models that one is part of. `count`: workers of a model where nothing says how many; one at
        least."""
        self._registry = registry
        self._catalog = catalog
        self._swap = swap
        self._removal = removal
        self._startup = startup
        self._register = register
        self._unregister = unregister
        self._save = save
        self._users_of = users_of
        self._count = max(count, 1)
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}

    def __repr__(self) -> str:
        return f"<StoredModels, {self._catalog!r}>"

    async def index(self) -> list[ModelState]:
        """Return every version that is registered or lies in the store, by name. Raises ModelNotFound where a setting
        names a store that is not there."""
        archives = await asyncio.to_thread(self._catalog.read)
        found = {(s.name, s.version): _state_of(s) for s in self._registry.all()}
        for leaving in self._removal.leaving:
            found.setdefault((leaving.name, leaving.version), _leaving(leaving))
        for archive in archives:
            state = ModelState(
                archive.name, archive.version, UNAVAILABLE, archive.problem or _NOT_LOADED
            )
            found.setdefault((archive.name, archive.version), state)
        return sorted(found.values(), key=lambda row: (row.name, row.version or ""))

    async def archives(self) -> list[StoredArchive]:
        """Return what lies in the store. Raises ModelNotFound where a setting names a store that is not there."""
        return await asyncio.to_thread(self._catalog.read)

    async def load(self, name: str, config: ConfigKeys | None = None) -> None:
        """Load an archive for every version of that name. What is registered of it serves until the new one can, and
        stays where that cannot be loaded.

        `config`: what goes before what the archive and the registration say. Raises as a registration does.
        """
        _check_name(name)
        async with self._turn(name):
            archives = [
                archive
                for archive in await asyncio.to_thread(self._catalog.read)
                if archive.name == name
            ]
            there = self._registry.versions(name) if self._registry.has_name(name) else []
            if not archives and not there:
                raise ModelNotFound(f"Model not found: {name}{await self._nearest(name)}")
            self._check_readable(archives)
            for archive in _one_of_each_version(archives, there):
                old = _find_old(archive, there)
                if old is None:
                    await self._add(archive, config)
                else:
                    there.remove(old)
                    await self._reload(old, archive.url, config)
            if not archives:
                for old in there:
                    await self._reload(old, old.url, config)

    async def unload(self, name: str) -> None:
        """Unregister all versions of a model once they have answered what they had accepted.

        One that only lies in the store is unloaded already. Raises ModelNotFound, and Conflict where others need it.
        """
        _check_name(name)
        async with self._turn(name):
            if not self._registry.has_name(name):
                archives = await asyncio.to_thread(self._catalog.read)
                if not any(archive.name == name for archive in archives):
                    raise ModelNotFound(f"Model not found: {name}{await self._nearest(name)}")
                return
            versions = self._registry.versions(name)
            users = self._users_of(name)
            if users:
                raise Conflict(
                    f"Model {name} belongs to {', '.join(users)}, which would have to go first."
                )
            # The default one can go once it stands alone.
            for served in sorted(versions, key=self._registry.is_default):
                await self._unregister(name, served.version)

    async def _add(self, archive: StoredArchive, config: ConfigKeys | None) -> None:
        options = RegisterOptions(archive.url)
        if config is not None:
            options = options.with_values(**config.values)
        wanted = config.workers if config is not None else None
        await self._register(options, lambda made: wanted or made.first_bounds(self._count))

    async def _reload(self, old: ServedModel, url: str, config: ConfigKeys | None) -> None:
        old = await old.woken()
        if old.registration is None:
            raise Conflict(
                f"Model {old.full_name} cannot be loaded anew by its name: it came with "
                f"{old.owner or 'a folder that the server follows (models_dir)'}."
            )
        options = old.registration.with_values(url=url)
        if config is not None:
            options = options.with_values(**config.values)
        new = await self._swap.replace(
            old, options, old.name, self._count, config.workers if config else None
        )
        new.registration = options
        new.is_loaded_at_startup, new.startup_source = old.is_loaded_at_startup, old.startup_source
        if old in self._startup.models:
            self._startup.models.discard(old)
            self._startup.models.add(new)
        await self._save(new.name)

    def _check_readable(self, archives: list[StoredArchive]) -> None:
        for archive in archives:
            if archive.problem:
                raise InvalidModel(archive.problem)

    async def _nearest(self, name: str) -> str:
        archives = await asyncio.to_thread(self._catalog.read)
        known = [archive.name for archive in archives]
        return did_you_mean(name, [*known, *(served.name for served in self._registry.all())])

    @asynccontextmanager
    async def _turn(self, name: str) -> AsyncIterator[None]:
        lock, waiting = self._turns.get(name, (asyncio.Lock(), 0))
        self._turns[name] = lock, waiting + 1
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._turns.pop(name)
            if waiting > 1:
                self._turns[name] = lock, waiting - 1


def _check_name(name: str) -> None:
    if not name:
        raise BadRequest("The model has no name.")
    if _OF_PATHS.search(name):
        raise BadRequest(
            f"{brief(name)} is a path; a model of the store is loaded by the name in its manifest."
        )


def _one_of_each_version(
    archives: list[StoredArchive], there: list[ServedModel]
) -> list[StoredArchive]:
    """Return an archive for each version: that which is registered, else the first one by its name in the store."""
    registered = {served.url for served in there}
    chosen: dict[str | None, StoredArchive] = {}
    for archive in sorted(archives, key=lambda each: each.url not in registered):
        taken = chosen.setdefault(archive.version, archive)
        if taken is not archive:
            version = "" if archive.version is None else f" in version {archive.version}"
            logger.warning(
                "The model store has %s%s twice: %s is loaded, and %s is left out.",
                *(archive.name, version, taken.url, archive.url),
            )
    return list(chosen.values())


def _find_old(archive: StoredArchive, there: list[ServedModel]) -> ServedModel | None:
    """Return the registered version that an archive takes the place of: it comes from there, or has its version."""
    for served in there:
        if served.url == archive.url:
            return served
    return next((served for served in there if served.version == archive.version), None)


def _state_of(served: ServedModel) -> ModelState:
    state, reason = UNAVAILABLE, ""
    if served.is_ready:
        state = READY
    elif served.load_failure is not None and served.has_failed_to_load:
        reason = served.load_failure.error
    elif any(worker.state in _COMING for worker in served.workers):
        state = LOADING
    else:
        reason = " ".join(served.problems())
    return ModelState(served.name, served.version, state, reason)


def _leaving(served: ServedModel) -> ModelState:
    return ModelState(served.name, served.version, UNLOADING)
