"""The owner of a cluster: a named detached actor of Ray. It keeps what is registered, and as many fronts as are wanted.

Ray starts it anew where it or its node dies. It learns what there is from its journal and from the fronts, which serve
on meanwhile and all know it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any, Final

from mms.cluster.front_spec import FrontSpec
from mms.cluster.journal import JournalError, journal_at
from mms.cluster.placing import FrontActors
from mms.cluster.registry import ClusterRegistry, Entry, names_of_members

logger = logging.getLogger("mms.cluster")

#: How long a front's question for news may wait for an answer, in seconds. It is a sign of life as well.
_LONGEST_WAIT_S: Final = 1.0
#: How long a change waits until all fronts have registered it, in seconds.
_REACH_S: Final = 1.0
#: How long an owner that has begun anew waits for the fronts that there are to tell what they know, in seconds.
_GATHER_S: Final = 5.0
#: Between two looks at the fronts, in seconds.
_LOOK_S: Final = 0.5


class Owner:
    """All methods are called by Ray, on the actor's event loop."""

    def __init__(self, namespace: str, journal: str | None) -> None:
        """`journal`: a path or a URL; None: what fronts know is all that outlives this actor."""
        self._journal = journal_at(journal) if journal else None
        self._journal_place = journal or ""
        self._journal_problem = ""
        self._registry = ClusterRegistry()
        self._spec = FrontSpec()
        self._actors = FrontActors(namespace)
        #: Set with each change that fronts are to hear of, and made anew.
        self._news = asyncio.Event()
        #: The same with each front that says how far it is.
        self._progress = asyncio.Event()
        self._writing = asyncio.Lock()
        self._is_gathered = asyncio.Event()
        self._is_ending = False
        self._caring: asyncio.Task[None] | None = None
        self._started_at = time.time()

    async def start(self) -> None:
        """Read the journal and begin to look after the fronts. Called by whoever finds the actor; once is enough."""
        if self._caring is None:
            self._caring = asyncio.get_running_loop().create_task(self._care())
        await self._is_gathered.wait()

    # What fronts call

    async def join(
        self, front: str, addresses: dict[str, str], revision: int, names: dict[str, Any]
    ) -> dict[str, Any]:
        """A front is there, and tells what it knows. Returns all that is known."""
        await self._ensure_started()
        self._registry.merge(revision, names_of_members(names))
        self._registry.join(front, addresses, time.monotonic())
        self._note_progress()
        self._tell()
        await self._is_gathered.wait()
        return self._registry.since(0) | {"sharing": list(self._registry.sharing)}

    async def watch(self, front: str, revision: int) -> dict[str, Any] | None:
        """Return what is new after a revision, as soon as there is something; None: the front has to join first."""
        await self._ensure_started()
        if not self._registry.hear(front, time.monotonic()):
            return None
        if self._registry.revision <= revision:
            news = self._news
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(news.wait(), _LONGEST_WAIT_S)
        return self._registry.since(revision)

    async def note_applied(self, front: str, revision: int, failures: dict[str, str]) -> None:
        """A front has registered all up to a revision, but for what it could not."""
        self._registry.note_applied(front, revision, failures)
        self._note_progress()

    async def change(
        self, front: str, bases: dict[str, int], entries: dict[str, list[Entry]]
    ) -> dict[str, Any]:
        """Put entries in place of what is known of their names. Returns the revision, and the names that are refused.

        It returns once the other fronts know of it, or after a second.
        """
        await self._ensure_started()
        await self._is_gathered.wait()
        async with self._writing:
            changed, refused = self._registry.change(bases, entries)
            revision = self._registry.revision
            if changed:
                await self._keep()
                self._tell()
        if changed:
            await self._reached(revision, front)
        return {"revision": revision, "refused": refused, "problem": self._journal_problem}

    # What commands call

    async def configure(self, members: dict[str, Any]) -> dict[str, Any]:
        """Have so many fronts that are started so. Returns the status."""
        await self.start()
        wanted = FrontSpec.of_members(members)
        wanted.number = self._spec.number + (not wanted.starts_alike(self._spec))
        async with self._writing:
            self._spec = wanted
            await self._keep()
        if self._journal_problem:
            raise JournalError(self._journal_problem)
        return await self.status()

    async def status(self) -> dict[str, Any]:
        """Return the fronts and what they have of what is wanted, JSON-able."""
        await self._ensure_started()
        registry, now = self._registry, time.monotonic()
        fronts = []
        for row in self._actors.describe():
            member = registry.members.get(row["name"])
            if member is not None:
                row["addresses"] = member.addresses
                row["isHeard"] = member.name in registry.sharing
                row["lastHeardSeconds"] = round(now - member.heard_at, 1)
                row["isUpToDate"] = member.applied >= registry.revision
                if member.failures:
                    row["failures"] = member.failures
            fronts.append(row)
        return {
            "fronts": fronts,
            "wantedFronts": self._spec.count,
            "models": sorted(n for n, known in registry.names.items() if known.entries),
            "revision": registry.revision,
            "stateFile": self._journal_place,
            **({"stateFileProblem": self._journal_problem} if self._journal_problem else {}),
            "ownerStartedAt": round(self._started_at, 3),
            "isEnding": self._is_ending,
        }

    async def end(self) -> None:
        """End all fronts, after what they have accepted. The journal stays. The caller then ends this actor."""
        self._is_ending = True
        if self._caring is not None:
            self._caring.cancel()
        await self._actors.end_all(self._spec.drain_s)

    # The rest

    async def _ensure_started(self) -> None:
        if self._caring is None:
            # Ray has started it anew; nobody else says so.
            self._caring = asyncio.get_running_loop().create_task(self._care())

    async def _care(self) -> None:
        while not self._is_gathered.is_set():
            try:
                await self._gather()
            except Exception:
                logger.exception("What there is cannot be found out; it is tried again.")
                await asyncio.sleep(_LOOK_S)
        while True:
            try:
                await self._actors.adjust(self._spec, self._on_front_gone)
                if self._registry.share(time.monotonic()):
                    self._tell()
                if self._journal_problem:
                    async with self._writing:
                        await self._keep()
            except Exception:
                logger.exception("The fronts could not be looked after; it is tried again.")
            await asyncio.sleep(_LOOK_S)

    async def _gather(self) -> None:
        """Find out what there was before: by the journal, and by the fronts that serve."""
        if self._journal is not None:
            try:
                kept = await asyncio.to_thread(self._journal.read)
            except JournalError as error:
                # It is not overwritten: what it holds may be all that there is.
                self._journal_problem = str(error)
                raise
            if kept is not None:
                self._spec = FrontSpec.of_members(kept.get("spec", {}))
                self._registry.merge(int(kept["revision"]), names_of_members(kept["names"]))
            self._journal_problem = ""
        found = await self._actors.find(self._on_front_gone)
        if found and not self._spec.count:
            # There is no journal: each front knows how it was started.
            specs = [FrontSpec.of_members(members) for members in found.values() if members]
            self._spec = max(specs, key=lambda spec: spec.number, default=self._spec)
        await self._until(lambda: set(found) <= set(self._registry.members), _GATHER_S)
        self._is_gathered.set()

    def _on_front_gone(self, name: str) -> None:
        self._registry.leave(name, time.monotonic())
        self._tell()

    def _tell(self) -> None:
        """Answer the fronts that wait for news."""
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _note_progress(self) -> None:
        progress, self._progress = self._progress, asyncio.Event()
        progress.set()

    async def _reached(self, revision: int, but: str) -> None:
        """Wait until the fronts that count have registered all up to a revision, but for the one that said it."""
        await self._until(lambda: set(self._registry.lagging(revision)) <= {but}, _REACH_S)

    async def _until(self, is_so: Callable[[], bool], most_s: float) -> None:
        """Wait until what fronts have said makes something so, or for so long."""
        until = time.monotonic() + most_s
        while not is_so() and (left_s := until - time.monotonic()) > 0:
            progress = self._progress
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(progress.wait(), left_s)

    async def _keep(self) -> None:
        if self._journal is None:
            return
        document = {**self._registry.to_members(), "spec": self._spec.to_members()}
        try:
            await asyncio.to_thread(self._journal.write, document)
        except JournalError as error:
            self._journal_problem = str(error)
            logger.error("%s. Fronts know the change; it is tried again.", error)
        else:
            self._journal_problem = ""
