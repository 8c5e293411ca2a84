"""Registrations that outlive the server: written after each change, made again at the next start."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from mms import faults
from mms.core import Registry
from mms.errors import Conflict, ModelNotFound, ServerError
from mms.serving.options import RegisterOptions
from mms.serving.served import (
    DependencyMissing,
    DormantModel,
    PooledModel,
    ServedModel,
    pooled_models,
)
from mms.serving.shared.following import IS_FOLLOWING
from mms.serving.state.idle_models import IdleModels, idle_part
from mms.serving.state.state_file import Journal

if TYPE_CHECKING:
    from mms.settings import Settings

logger = logging.getLogger("mms.serving")

#: Between two tries to write a file that cannot be written, in seconds.
_RETRY_S: Final = 5.0
#: Models that are made known at once, before others have their turn.
_AT_ONCE: Final = 200

#: Makes a model of a registration; its name where nothing else gives one.
Add = Callable[[RegisterOptions, "str | None", "ServedModel | None"], Awaitable[ServedModel]]
#: Sets the least and the most workers of a model, and how many a request starts that finds none.
Scale = Callable[[PooledModel, int, int, int], None]


class BrokenEntry(ValueError):
    """An entry that no server has written. The message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a start has taken over. `sources`: the (name, url) of `load_models` that it need not load again."""

    models: tuple[ServedModel, ...] = ()
    sources: frozenset[tuple[str | None, str]] = frozenset()


class RegistrationStore:
    """Keeps what was registered by the registry's own account. Called on the event loop.

    Without a file it does nothing. Entries that could not be restored stay in the file, so that the next start tries
    them again, until a model of that name and version is registered or unregistered.
    """

    def __init__(
        self, file: Journal | None, registry: Registry[ServedModel], settings: Settings
    ) -> None:
        self._file = file
        self._registry = registry
        self._idle = IdleModels(settings)
        self._waiting: list[dict[str, Any]] = []
        #: Called and awaited after each change, with a file or without one. They raise nothing.
        self.listeners: list[Callable[[], Awaitable[None]]] = []
        #: The names of models that have changed since the last write began.
        self._changed: set[str] = set()
        self._changes = 0
        self._written = 0
        self._writing: asyncio.Task[None] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._is_failing = False
        #: Names that others have changed meanwhile -> the number of the change of ours that was refused for it.
        self._refused: dict[str, int] = {}
        self._is_closed = file is None

    def __repr__(self) -> str:
        return f"<RegistrationStore {self._file}, {self._changes - self._written} changes to write>"

    # Writing

    async def save(self, *names: str) -> None:
        """Return when the file has what the registry has now of the models of these names, and of their owners.

        A failure to write is told of, and tried again. Raises Conflict where another front of the cluster has changed
        one of the names meanwhile.
        """
        for listener in list(self.listeners):
            await listener()
        if self._is_closed or IS_FOLLOWING.get():
            return
        self._note(*names)
        self._changes += 1
        change = self._changes
        # Whoever comes while a write is under way shares the next one.
        while self._written < change:
            if self._writing is None:
                self._writing = asyncio.get_running_loop().create_task(self._write())
            await asyncio.shield(self._writing)
        for name in names:
            if self._refused.get(name, 0) >= change:
                raise Conflict(
                    f"Model {name} was changed at another front of the cluster meanwhile, which stands."
                )

    async def _write(self) -> None:
        file = self._file
        assert file is not None
        changes = self._changes
        names, self._changed = self._changed, set()
        try:
            if not await asyncio.to_thread(file.exists):
                names |= {served.name for served in self._registry.all()}
                names |= {entry["model"] for entry in self._waiting}
            entries = self._entries(names)
            refused = await asyncio.to_thread(file.change, entries)
        except OSError as error:
            self._fail(file, names, error.strerror or str(error))
        except Exception as error:
            faults.note("state file", error)
            self._fail(file, names, f"{type(error).__name__}: {error}")
        else:
            self._refused |= dict.fromkeys(refused, changes)
            if self._is_failing:
                self._is_failing = False
                logger.info("The state file %s is written again.", file.path)
        finally:
            self._written = changes
            self._writing = None

    def _note(self, *names: str) -> None:
        """These models have changed; the entry of a model that others belong to tells of them, too."""
        for name in names:
            self._changed.add(name)
            if self._registry.has_name(name):
                self._changed |= {s.owner for s in self._registry.versions(name) if s.owner}

    def await_models(self, name: str, entries: Iterable[dict[str, Any]]) -> None:
        """Have these stay in what is kept of a name, beside its models that there are: they are still to be made."""
        others = [entry for entry in self._waiting if entry["model"] != name]
        self._waiting = [*others, *entries]

    def _fail(self, file: Journal, names: set[str], reason: str) -> None:
        self._changed |= names
        if not self._is_failing:
            self._is_failing = True
            logger.error(
                "The state file %s cannot be written: %s. Serving goes on; the change is lost if the server ends "
                "before it can be. Tried again every %g seconds.",
                *(file.path, reason, _RETRY_S),
            )
        if self._retry is None:
            self._retry = asyncio.get_running_loop().call_later(_RETRY_S, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        if not self._is_closed and self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())

    def _entries(self, names: set[str]) -> dict[str, list[dict[str, Any]]]:
        """Return what is to be kept of the models of these names, in the order in which they were registered."""
        found: dict[str, list[dict[str, Any]]] = {}
        for name in names:
            versions = self._registry.versions(name) if self._registry.has_name(name) else []
            kept = [served for served in versions if served.registration is not None]
            there = {(served.name, served.version) for served in kept}
            self._waiting = [
                e for e in self._waiting if (e["model"], e.get("version")) not in there
            ]
            waiting = [entry for entry in self._waiting if entry["model"] == name]
            found[name] = [self._entry(served) for served in kept] + waiting
        return found

    def _entry(self, served: ServedModel) -> dict[str, Any]:
        entry = self._scale_of(served)
        entry["is_default"] = self._registry.is_default(served)
        if served.startup_source is not None:
            entry["startup_source"] = list(served.startup_source)
        assert served.registration is not None
        entry["options"] = served.registration.kept_members()
        idle = idle_part(served)
        if idle is not None:
            entry["idle"] = idle
        if served.parts:
            entry["brought"] = [self._scale_of(model) for model in served.parts]
        return entry

    @staticmethod
    def _scale_of(served: ServedModel) -> dict[str, Any]:
        kept: dict[str, Any] = {
            "model": served.name,
            "version": served.version,
            "min_workers": served.min_workers,
            "max_workers": served.max_workers,
        }
        first = 1
        if isinstance(served, PooledModel):
            first = served.pool.first_workers
        elif isinstance(served, DormantModel):
            first = served.first_workers
        if first != 1:
            kept["first_workers"] = first
        return kept

    async def drop(self, name: str, version: str | None) -> bool:
        """Forget entries that could not be restored; whether there were any. Without a version: all of the name."""
        left = [
            entry
            for entry in self._waiting
            if entry["model"] != name or version not in (None, entry.get("version"))
        ]
        if len(left) == len(self._waiting):
            return False
        self._waiting = left
        await self.save(name)
        return True

    async def close(self) -> None:
        """Write no more: what the end of the server does to its models is no change of theirs."""
        self._is_closed = True
        if self._retry is not None:
            self._retry.cancel()
        if self._writing is not None:
            await self._writing
        if self._file is not None:
            self._file.unlock()

    # Restoring

    async def restore(
        self, add: Add, scale: Scale, listed: frozenset[tuple[str | None, str]]
    ) -> Restored:
        """Make the models of the file. One that fails is reported and skipped.

        `listed`: what `load_models` names by now; of its former entries, those that are left out are forgotten.
        Raises ConfigurationError for a file that cannot be used.
        """
        file = self._file
        if file is None:
            return Restored()
        await asyncio.to_thread(file.lock)
        lines = await asyncio.to_thread(file.read)
        if lines.broken:
            self._set_aside(file, lines.broken)
        entries = []
        for number, entry in lines.entries:
            try:
                options = registration_in(entry)
            except BrokenEntry as error:
                logger.error("%s, line %d, is skipped: %s.", file.path, number, error)
                self._set_aside(file, [(number, _text(entry))])
                self._note(entry["model"])
                continue
            source = source_in(entry)
            if source is not None and source not in listed:
                logger.info(
                    "Model %s is not restored: load_models does not name it any more.",
                    _shown(entry),
                )
                self._note(entry["model"])
                continue
            entries.append((entry, options))
        if not entries:
            return Restored()
        logger.info("Restoring %d models of %s.", len(entries), file.path)
        started = time.monotonic()
        models = await self._restore_all(entries, add, scale)
        logger.info(
            "Restored %d of %d models in %.1f seconds.",
            *(len(models), len(entries), time.monotonic() - started),
        )
        sources = {s.startup_source for s in models if s.startup_source is not None}
        return Restored(tuple(models), frozenset(sources))

    async def _restore_all(
        self, entries: list[tuple[dict[str, Any], RegisterOptions]], add: Add, scale: Scale
    ) -> list[ServedModel]:
        restored, remaining = await self._restore_idle(entries, add, scale)
        count, is_last_round = len(entries), False
        while remaining:
            put_off = []
            for number, (entry, options) in enumerate(remaining, len(restored) + 1):
                try:
                    served = await self._restore(entry, options, add, scale)
                except DependencyMissing as error:
                    if is_last_round:
                        self._skip(entry, number, count, error.message or type(error).__name__)
                    else:
                        put_off.append((entry, options))
                    continue
                except ServerError as error:
                    self._skip(entry, number, count, error.message or type(error).__name__)
                    continue
                except Exception as error:
                    # The file may hold anything; no entry of it may keep the server from coming up.
                    self._skip(entry, number, count, f"{type(error).__name__}: {error}")
                    continue
                restored.append((entry, served))
                logger.info(
                    "Restored model %s with %d to %d workers (%d of %d).",
                    *(_shown(entry), served.min_workers, served.max_workers, len(restored), count),
                )
            # What was registered before it may stand behind it since.
            is_last_round = len(put_off) == len(remaining)
            remaining = put_off
        self._set_defaults(entry for entry, _ in restored)
        for entry, served in restored:
            if self._entry(served) != entry:
                self._note(entry["model"], served.name)
        return [served for _, served in restored]

    async def _restore_idle(
        self, entries: list[tuple[dict[str, Any], RegisterOptions]], add: Add, scale: Scale
    ) -> tuple[
        list[tuple[dict[str, Any], ServedModel]], list[tuple[dict[str, Any], RegisterOptions]]
    ]:
        """Have the models that have no workers wait for somebody who asks for them. Returns them, and the others."""

        async def make(model: DormantModel) -> ServedModel:
            entry = self._entry(model)
            assert model.registration is not None
            served = await self._restore(entry, model.registration, add, scale, model)
            served.is_loaded_at_startup = model.is_loaded_at_startup
            return served

        restored: list[tuple[dict[str, Any], ServedModel]] = []
        others = []
        for entry, options in entries:
            served = self._idle.of_entry(entry, options, make)
            if served is None:
                others.append((entry, options))
                continue
            try:
                self._registry.add(served)
            except ServerError:
                others.append((entry, options))
                continue
            restored.append((entry, served))
            if not len(restored) % _AT_ONCE:
                await asyncio.sleep(0)
        if restored:
            logger.info(
                "%d models without workers are known; their archives are read when they are needed.",
                len(restored),
            )
        return restored, others

    async def _restore(
        self,
        entry: dict[str, Any],
        options: RegisterOptions,
        add: Add,
        scale: Scale,
        replaced: ServedModel | None = None,
    ) -> ServedModel:
        served = await add(options, entry["model"], replaced)
        served.registration = options
        served.startup_source = source_in(entry)
        if (served.name, served.version) != (entry["model"], entry.get("version")):
            logger.warning(
                "Model %s is now %s %s: the archive at %s has changed meanwhile.",
                *(_shown(entry), served.name, served.version or "without a version", served.url),
            )
        of_parts = {(kept["model"], kept.get("version")): kept for kept in entry.get("brought", ())}
        for model in pooled_models(served):
            kept = of_parts.get((model.name, model.version), entry)
            first = kept.get("first_workers", 1)
            scale(model, kept["min_workers"], kept["max_workers"], first)
        return served

    def _skip(self, entry: dict[str, Any], number: int, count: int, reason: str) -> None:
        logger.error(
            "Model %s is not restored (%d of %d): %s It stays in the state file; the next start tries again.",
            *(_shown(entry), number, count, reason if reason.endswith(".") else reason + "."),
        )
        self._waiting.append(entry)

    def _set_defaults(self, entries: Any) -> None:
        for entry in entries:
            version = entry.get("version")
            if entry.get("is_default") and version is not None:
                try:
                    self._registry.set_default(entry["model"], version)
                except ModelNotFound:
                    continue

    def _set_aside(self, file: Journal, broken: Any) -> None:
        numbers = ", ".join(str(number) for number, _ in broken)
        try:
            aside = file.set_aside(broken)
        except OSError as error:
            logger.error(
                "%s has lines that cannot be read (%s), nor could they be saved: %s.",
                *(file.path, numbers, error.strerror or error),
            )
            return
        logger.error(
            "%s has lines that cannot be read (%s); they are in %s now.", file.path, numbers, aside
        )


def _shown(entry: dict[str, Any]) -> str:
    version = entry.get("version")
    return f"{entry['model']} {version}" if version else str(entry["model"])


def source_in(entry: dict[str, Any]) -> tuple[str | None, str] | None:
    """Return what of `load_models` an entry is from, None for another one."""
    source = entry.get("startup_source")
    return (source[0], source[1]) if source is not None else None


def _text(entry: dict[str, Any]) -> str:
    import json  # for an entry that is broken alone

    return json.dumps(entry, separators=(",", ":"))


def registration_in(entry: dict[str, Any]) -> RegisterOptions:
    """Return the registration of an entry. Raises BrokenEntry."""
    _check_scale(entry)
    brought = entry.get("brought", [])
    if not isinstance(brought, list) or not all(isinstance(kept, dict) for kept in brought):
        raise BrokenEntry("its member brought is not a list of objects")
    for kept in brought:
        _check_scale(kept)
    source = entry.get("startup_source")
    if source is not None and not (
        isinstance(source, list)
        and len(source) == 2
        and isinstance(source[1], str)
        and isinstance(source[0], str | None)
    ):
        raise BrokenEntry("its member startup_source is not a name and url")
    members = entry.get("options")
    if not isinstance(members, dict) or not isinstance(members.get("url", ""), str):
        raise BrokenEntry("its member options is not an object with a url")
    try:
        options = RegisterOptions.of_members(members)
    except (ValueError, TypeError) as error:
        raise BrokenEntry(str(error)) from None
    return replace(options, synchronous=False, initial_workers=0)


def _check_scale(entry: dict[str, Any]) -> None:
    if not isinstance(entry.get("model"), str) or not isinstance(entry.get("version"), str | None):
        raise BrokenEntry("it has no model name")
    bounds = (entry.get("min_workers"), entry.get("max_workers"))
    if not all(isinstance(count, int) and count >= 0 for count in bounds):
        raise BrokenEntry("its min_workers and max_workers are not whole numbers, 0 or more")
    first = entry.get("first_workers", 1)
    if not isinstance(first, int) or first < 1:
        raise BrokenEntry("its first_workers is not a whole number, 1 or more")
