"""Has what this front serves follow what the cluster has registered, whichever front it was registered at."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import Any, Final

from archiver.model_config import WorkerBounds
from mms import faults
from mms.core import Registry
from mms.errors import ServerError
from mms.registration import SCALE
from mms.serving.options import RegisterOptions
from mms.serving.served import PooledModel, ServedModel
from mms.serving.shared.cluster import Cluster
from mms.serving.shared.following import IS_FOLLOWING
from mms.serving.state.registration_store import (
    BrokenEntry,
    RegistrationStore,
    registration_in,
    source_in,
)
from mms.serving.watched.model_swap import ModelSwap, Superseded
from mms.serving.watched.newest_change import NewestChange, reason_of
from mms.serving.workers.model_workers import ModelWorkers

logger = logging.getLogger("mms.serving")

#: Until a model that could not be made is tried again: at first, and at most, in seconds.
_FIRST_RETRY_S: Final = 2.0
_MOST_RETRY_S: Final = 60.0


class _Name:
    """The models of one name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.changes: NewestChange
        #: What each was made with, which need not be what it is to be; None: it leaves.
        self.made: dict[ServedModel, RegisterOptions | None] = {}
        #: Up to which revision it is to be as the cluster has it; 0: it is.
        self.due = 0
        #: Why it is not; empty where it is.
        self.reason = ""
        self.retry_s = _FIRST_RETRY_S
        self.retry: asyncio.TimerHandle | None = None


class SharedModels:
    """Adds, replaces, scales and removes models as the cluster's registry says. Called on the event loop.

    What takes no time is done as soon as the news is there, so that what this front tells the cluster of a name next is
    never older than what it has heard. What takes long goes on in a task for each name.
    """

    def __init__(
        self,
        cluster: Cluster,
        registry: Registry[ServedModel],
        workers: ModelWorkers,
        swap: ModelSwap,
        store: RegistrationStore,
    ) -> None:
        self._cluster = cluster
        self._registry = registry
        self._workers = workers
        self._swap = swap
        self._store = store
        self._names: dict[str, _Name] = {}

    def __repr__(self) -> str:
        return f"<SharedModels of {self._cluster!r}>"

    def start(self) -> None:
        """Follow from now on. What is registered by now was made of what the cluster knew at the start."""
        for served in self._registry.all():
            if served.registration is not None:
                self._of(served.name).made[served] = served.registration
        self._cluster.on_news = self._on_news
        self._on_news(list(self._cluster.names), True)

    def close(self) -> None:
        """Follow no more."""
        self._cluster.on_news = lambda names, is_shared_anew: None
        for each in self._names.values():
            each.changes.close()
            if each.retry is not None:
                each.retry.cancel()

    @faults.contained("cluster")
    def _on_news(self, names: list[str], is_shared_anew: bool) -> None:
        for name in names:
            with faults.contained("cluster", name):
                each = self._of(name)
                each.due = self._cluster.names[name].revision
                each.retry_s = _FIRST_RETRY_S
                self._take(each)
                self._act(each)
        if is_shared_anew:
            for served in self._registry.all():
                self._share_anew(served)
        self._report()

    def _of(self, name: str) -> _Name:
        each = self._names.get(name)
        if each is None:
            each = self._names[name] = _Name(name)
            each.changes = NewestChange(partial(self._acting, each))
        return each

    def _entries(self, name: str) -> list[dict[str, Any]]:
        """Return what the cluster has registered of a name."""
        known = self._cluster.names.get(name)
        return known.entries if known is not None else []

    def _here(self, name: str) -> dict[str | None, ServedModel]:
        """Return the models of a name that the cluster is to know, or knows, by their versions."""
        versions = self._registry.versions(name) if self._registry.has_name(name) else []
        return {served.version: served for served in versions if served.registration is not None}

    def _take(self, each: _Name) -> None:
        """Have what is here say what the cluster says, as far as that takes no time."""
        here = self._here(each.name)
        missing = []
        for entry in self._entries(each.name):
            served = here.pop(entry.get("version"), None)
            if served is None:
                missing.append(entry)
                continue
            assert served.registration is not None
            each.made.setdefault(served, served.registration)
            try:
                served.registration = registration_in(entry)
            except BrokenEntry as error:
                logger.error("Model %s of the cluster: %s", served.full_name, error)
                continue
            if isinstance(served, PooledModel):
                least, most = entry["min_workers"], entry["max_workers"]
                if (served.min_workers, served.max_workers) != (least, most):
                    self._workers.scale(served, least, most, entry.get("first_workers", 1))
            self._share_anew(served)
            if entry.get("is_default"):
                self._swap.make_default(served)
        for served in here.values():
            # It leaves.
            each.made.setdefault(served, served.registration)
            served.registration = None
        self._store.await_models(each.name, missing)

    def _share_anew(self, served: ServedModel) -> None:
        if isinstance(served, PooledModel):
            with faults.contained("cluster", served.name, served.version):
                self._workers.share_anew(served)

    def _act(self, each: _Name) -> None:
        if each.retry is not None:
            each.retry.cancel()
            each.retry = None
        each.changes.come()

    async def _acting(self, each: _Name, superseded: asyncio.Future[None]) -> None:
        IS_FOLLOWING.set(True)
        due, each.reason = each.due, ""
        try:
            await self._settle(each, superseded)
        except Superseded:
            return
        except Exception as error:
            if isinstance(error, ServerError):
                reason = reason_of(error)
            else:
                faults.note("cluster", error, each.name)
                reason = f"{type(error).__name__}, see the log."
            logger.error("Model %s is not as the cluster has it: %s", each.name, reason)
            each.reason = reason
            each.retry = asyncio.get_running_loop().call_later(each.retry_s, self._act_again, each)
            each.retry_s = min(2 * each.retry_s, _MOST_RETRY_S)
        if each.due == due:
            each.due = 0
            if not (each.made or each.reason or self._entries(each.name)):
                # All of it is gone. News of the name begin anew.
                self._names.pop(each.name, None)
        self._report()

    @faults.contained("cluster")
    def _act_again(self, each: _Name) -> None:
        each.retry = None
        each.changes.come()

    async def _settle(self, each: _Name, superseded: asyncio.Future[None]) -> None:
        """Make what is missing, replace what was made otherwise, and remove what is not wanted any more."""
        entries = {entry.get("version"): entry for entry in self._entries(each.name)}
        for served in [served for served in each.made if not self._registry.holds(served)]:
            del each.made[served]
        for served in list(each.made):
            if served.version not in entries:
                await self._swap.remove(served)
                del each.made[served]
                logger.info("Cluster: %s is gone.", served.full_name)
        here = self._here(each.name)
        for version, entry in entries.items():
            found = here.get(version)
            try:
                options = registration_in(entry)
            except BrokenEntry as error:
                logger.error("Model %s of the cluster: %s", each.name, error)
                continue
            bounds = WorkerBounds(entry["min_workers"], entry["max_workers"])
            if found is None:
                await self._add(each, entry, options, bounds)
            else:
                await self._change(each, found, options, bounds, superseded)
        for version, served in self._here(each.name).items():
            if version in entries and entries[version].get("is_default"):
                self._swap.make_default(served)

    async def _add(
        self, each: _Name, entry: dict[str, Any], options: RegisterOptions, bounds: WorkerBounds
    ) -> None:
        started = time.monotonic()
        served = await self._swap.add(options, each.name, bounds.least, bounds)
        self._note(each, served, options)
        served.startup_source = source_in(entry)
        logger.info(
            "Cluster: %s is registered (%.2f seconds).",
            *(served.full_name, time.monotonic() - started),
        )

    async def _change(
        self,
        each: _Name,
        old: ServedModel,
        options: RegisterOptions,
        bounds: WorkerBounds,
        superseded: asyncio.Future[None],
    ) -> None:
        """Have a model be as it is registered by now: by a change of it where that is enough, else by a new one."""
        made = each.made.get(old) or RegisterOptions()
        # A client of this front may have changed it just now.
        made = made.with_values(**old.options.asked.values_for(SCALE))
        changes = made.changes_to(options, SCALE)
        if changes and isinstance(old, PooledModel):
            await self._workers.change(old, changes)
            self._note(each, old, options)
        elif changes is None:
            new = await self._swap.replace(
                old, options, each.name, bounds.least, bounds, superseded=superseded
            )
            new.startup_source = old.startup_source
            each.made.pop(old, None)
            self._note(each, new, options)

    def _note(self, each: _Name, served: ServedModel, options: RegisterOptions) -> None:
        each.made[served] = options
        served.registration = options
        self._store.await_models(
            each.name,
            [
                entry
                for entry in self._entries(each.name)
                if entry.get("version") not in self._here(each.name)
            ],
        )

    def _report(self) -> None:
        """Tell the owner how far this front is."""
        due = [each.due for each in self._names.values() if each.due]
        applied = min(due) - 1 if due else self._cluster.revision
        failures = {each.name: each.reason for each in self._names.values() if each.reason}
        self._cluster.report_applied(applied, failures)
