"""Has what is served follow a file that says which models are to be there."""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import os
import random
import stat
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from archiver.model_config import WorkerBounds
from mms import faults
from mms.errors import ServerError
from mms.serving.options import RegisterOptions
from mms.serving.served import ServedModel
from mms.serving.watched.desired_state import (
    DesiredModel,
    DesiredState,
    InvalidDesiredState,
    read_desired_state,
)
from mms.serving.watched.model_swap import ModelSwap, Superseded
from mms.serving.watched.newest_change import NewestChange, reason_of
from mms.text.documents import MAX_BYTES

logger = logging.getLogger("mms.serving")

#: Until what could not be done is tried again: at first, and at most, in seconds.
_FIRST_RETRY_S: Final = 5.0
_MOST_RETRY_S: Final = 300.0
#: Servers that follow one file fail together where what they fetch from is down, and are not to come back together.
_MOST_SPREAD: Final = 1.5
#: Looks in a row that find another file, until it is said that it does not come to rest.
_MOST_LOOKS: Final = 10

LOADING: Final = "LOADING"
READY: Final = "READY"
FAILED: Final = "FAILED"
LEAVING: Final = "LEAVING"


@dataclass(slots=True, eq=False)
class _Tracked:
    """A model of the file, and what has become of it."""

    #: None: the file has it no more.
    wanted: DesiredModel | None
    served: ServedModel | None = None
    #: What `served` was made with.
    applied: RegisterOptions | None = None
    #: Why it is not as it is wanted; empty where it is.
    reason: str = ""
    retry_s: float = _FIRST_RETRY_S
    retry_at: float = math.inf
    changes: NewestChange = field(init=False)

    @property
    def name(self) -> str:
        """The name that it has, or is to have."""
        if self.served is not None:
            return self.served.name
        return self.wanted.name if self.wanted is not None else ""

    @property
    def place(self) -> tuple[str, str]:
        """Name and url: there is at most one model of both."""
        if self.wanted is not None:
            return _place_of(self.wanted)
        return self.name, self.applied.url if self.applied is not None else ""


class DesiredModels:
    """Looks at a file at intervals, and registers, changes and unregisters models. Called on the event loop.

    A file that cannot be read, or says what cannot be, changes nothing. What it says is acted upon once two looks have
    found the same, or at once where it is older than the interval. What could not be done is tried again.
    """

    def __init__(self, path: Path, swap: ModelSwap, *, interval_s: float, count: int) -> None:
        """`count`: the workers of a model of which neither file nor archive say it."""
        self._path = path.absolute()
        self._swap = swap
        self._interval_s = interval_s
        self._count = count
        self._tracked: list[_Tracked] = []
        self._state = DesiredState()
        #: The place in the file, by the identity of what is wanted.
        self._order: dict[int, int] = {}
        #: By the name in the file.
        self._named: dict[str, list[_Tracked]] = {}
        #: Digest of what counts, and of what the last look has found.
        self._applied = ""
        self._seen = ""
        #: Looks in a row that have found it changed.
        self._changing = 0
        #: Why the file as it is now does not count; empty where it does.
        self._problem = " it has not been read yet"
        self._applied_at: float | None = None
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<DesiredModels of {self._path}, {len(self._tracked)} models>"

    async def start(self) -> None:
        """Register what the file says, and look again at intervals until closed."""
        await self.look(is_first=True)
        await self.settled()
        for tracked in self._tracked:
            if tracked.served is not None:
                tracked.served.is_loaded_at_startup = True
        self._task = asyncio.get_running_loop().create_task(self._run())

    def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
        for tracked in self._tracked:
            tracked.changes.close()

    async def settled(self) -> None:
        """Return once all that is to be done by now was done, or has failed."""
        while tasks := [t.changes.task for t in self._tracked if t.changes.task is not None]:
            await asyncio.wait(tasks)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            with faults.contained("models_file"):
                await self.look()

    async def look(self, *, is_first: bool = False) -> None:
        """Find out what has changed, and begin to act upon it. Nothing is raised."""
        try:
            text, changed_at = await asyncio.to_thread(_read, self._path)
        except OSError as error:
            self._refuse(f"it cannot be read: {error.strerror or error}", "")
        else:
            digest = sha256(text).hexdigest()
            is_at_rest = digest == self._seen or changed_at < time.time() - self._interval_s
            self._seen = digest
            self._changing = 0 if is_at_rest else self._changing + 1
            if digest == self._applied:
                self._problem = ""
            elif is_first or is_at_rest:
                await self._take(text, digest)
            elif self._changing >= _MOST_LOOKS:
                self._refuse("it changes all the time, and counts once two looks find the same", "")
        self._retry()

    async def _take(self, text: bytes, digest: str) -> None:
        try:
            state = await asyncio.to_thread(read_desired_state, text)
        except InvalidDesiredState as error:
            self._refuse(str(error), digest)
            return
        self._problem, self._applied, self._applied_at = "", digest, time.time()
        logger.info(
            "models_file=%s has changed: %d models are to be there.", self._path, len(state.models)
        )
        self._follow(state)

    def _refuse(self, reason: str, digest: str) -> None:
        told = f"{digest[:12]} {reason}"
        if told != self._problem:
            self._problem = told
            logger.error(
                "models_file=%s does not count: %s. What is served stays.", self._path, reason
            )

    def _follow(self, state: DesiredState) -> None:
        """Find the model of each entry: the one of its name and url, else another one of its name, else a new one."""
        self._state = state
        self._order = {id(model): number for number, model in enumerate(state.models)}
        # All pairs of a long file take longer than the event loop may be held.
        free: dict[tuple[str, str], deque[_Tracked]] = {}
        for each in sorted(self._tracked, key=_preference):
            free.setdefault(each.place, deque()).append(each)
        left: list[DesiredModel] = []
        for model in state.models:
            if found := free.get(_place_of(model)):
                self._want(found.popleft(), model)
            else:
                left.append(model)
        others: dict[str, deque[_Tracked]] = {}
        for (name, _), unnamed in free.items():
            others.setdefault(name, deque()).extend(unnamed)
        new: list[DesiredModel] = []
        for model in left:
            if found := others.get(model.name):
                self._want(found.popleft(), model)
            else:
                new.append(model)
        # Names become free before others may have them.
        for each in (each for named in others.values() for each in named):
            if each.wanted is not None:
                each.wanted = None
                self._act(each)
        for model in new:
            tracked = _Tracked(model)
            tracked.changes = NewestChange(partial(self._acting, tracked))
            self._tracked.append(tracked)
            self._act(tracked)
        self._named = {}
        for each in self._tracked:
            if each.wanted is not None:
                self._named.setdefault(each.wanted.name, []).append(each)
        self._set_defaults(self._tracked)

    def _want(self, tracked: _Tracked, model: DesiredModel) -> None:
        is_same = tracked.wanted == model
        # Equal, it may stand at another place.
        tracked.wanted = model
        if not is_same:
            self._act(tracked)

    def _act(self, tracked: _Tracked) -> None:
        tracked.retry_s, tracked.retry_at = _FIRST_RETRY_S, math.inf
        tracked.changes.come()

    def _retry(self) -> None:
        """Try again what has failed, and bring back what others have unregistered."""
        now = time.monotonic()
        for tracked in self._tracked:
            if tracked.changes.task is not None:
                continue
            is_gone = tracked.served is not None and not self._swap.holds(tracked.served)
            if tracked.retry_at <= now or (is_gone and tracked.retry_at == math.inf):
                tracked.changes.come()
        self._set_defaults(self._tracked)

    async def _acting(self, tracked: _Tracked, superseded: asyncio.Future[None]) -> None:
        before = tracked.name
        try:
            if tracked.wanted is None:
                await self._remove(tracked)
            else:
                await self._update(tracked, tracked.wanted, superseded)
        except Superseded:
            return
        except ServerError as error:
            self._note_failure(tracked, reason_of(error))
        except Exception as error:
            faults.note("models_file", error, tracked.name)
            self._note_failure(tracked, f"{type(error).__name__}, see the log.")
        else:
            tracked.reason, tracked.retry_s, tracked.retry_at = "", _FIRST_RETRY_S, math.inf
            if tracked.wanted is None and tracked in self._tracked:
                self._tracked.remove(tracked)
            # Others' stay: all of them for each of thousands would hold the event loop.
            for name in {before, tracked.name}:
                self._set_defaults(self._named.get(name, ()))

    async def _update(
        self, tracked: _Tracked, wanted: DesiredModel, superseded: asyncio.Future[None]
    ) -> None:
        old = tracked.served
        if old is not None and not self._swap.holds(old):
            old = tracked.served = None
        bounds = _bounds_of(wanted.options)
        if old is None:
            tracked.served = await self._swap.add(wanted.options, wanted.name, self._count)
            logger.info("models_file: %s is registered.", tracked.served.full_name)
        elif tracked.applied == wanted.options:
            return
        elif (
            tracked.applied is not None
            and bounds is not None
            and (DesiredModel("", tracked.applied).without_counts == wanted.without_counts)
        ):
            self._swap.scale(old, bounds)
        else:
            tracked.served = await self._swap.replace(
                *(old, wanted.options, wanted.name, self._count, bounds), superseded=superseded
            )
        tracked.applied = wanted.options

    async def _remove(self, tracked: _Tracked) -> None:
        served = tracked.served
        if served is not None and self._swap.holds(served):
            await self._swap.remove(served)
            logger.info("models_file: %s is not in it any more, and is gone.", served.full_name)
        tracked.served = None

    def _note_failure(self, tracked: _Tracked, reason: str) -> None:
        old = tracked.served
        stays = " The former one stays." if old is not None and self._swap.holds(old) else ""
        if reason != tracked.reason:
            logger.error(
                "models_file: %s is not as it is wanted: %s%s", tracked.name, reason, stays
            )
        tracked.reason = reason
        tracked.retry_at = time.monotonic() + tracked.retry_s * random.uniform(1.0, _MOST_SPREAD)
        tracked.retry_s = min(tracked.retry_s * 2, _MOST_RETRY_S)

    def _set_defaults(self, concerned: Iterable[_Tracked]) -> None:
        """Have the version that the file names be the default, else the first that it has; once that is ready.

        `concerned`: all of a name, or of several ones.
        """
        wanted: dict[str, ServedModel] = {}
        named = self._state.defaults or {}
        present = [
            (self._order.get(id(each.wanted), math.inf), served)
            for each in concerned
            if each.wanted is not None and (served := each.served) is not None
        ]
        for _, served in sorted(present, key=lambda each: each[0]):
            if served.name not in named or named[served.name] == served.version:
                wanted.setdefault(served.name, served)
        for served in wanted.values():
            if served.is_ready:
                self._swap.make_default(served)

    # What it shows

    def describe(self) -> dict[str, Any]:
        """Return what the file says and what has come of it, JSON-able."""
        found: dict[str, Any] = {
            "file": str(self._path),
            "status": "FAILED" if self._problem else "APPLIED",
            "sha256": self._applied,
        }
        if self._problem:
            found["reason"] = self._problem.partition(" ")[2]
        if self._applied_at is not None:
            at = datetime.fromtimestamp(self._applied_at, timezone.utc)
            found["appliedAt"] = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        found["models"] = [self._describe(tracked) for tracked in self._tracked]
        return found

    def _describe(self, tracked: _Tracked) -> dict[str, Any]:
        served = tracked.served
        if served is not None and not self._swap.holds(served):
            served = None
        row: dict[str, Any] = {"modelName": tracked.name}
        if served is not None and served.version:
            row["modelVersion"] = served.version
        if tracked.wanted is not None and tracked.wanted.options.url:
            row["modelUrl"] = tracked.wanted.options.url
        problems = [] if served is None else served.problems()
        if tracked.reason:
            row |= {
                "status": FAILED,
                "reason": tracked.reason,
                "isServing": not problems and served is not None,
            }
        elif tracked.wanted is None:
            row["status"] = LEAVING
        elif served is not None and not served.max_workers and tracked.changes.task is None:
            # Without workers, as it is wanted.
            row["status"] = READY
        elif served is None or tracked.changes.task is not None or problems:
            row["status"] = LOADING
            if problems:
                row["reason"] = " ".join(problems)
        else:
            row["status"] = READY
        return row


def _place_of(model: DesiredModel) -> tuple[str, str]:
    return model.name, model.options.url


def _preference(tracked: _Tracked) -> tuple[bool, bool]:
    """Of those of one place the entry's is first the one that is served, and last one that leaves."""
    return tracked.wanted is None, tracked.served is None


def _bounds_of(options: RegisterOptions) -> WorkerBounds | None:
    """Return how many workers the file wants; None where it does not say it."""
    least, most = options.initial_workers, options.max_worker
    if least is None:
        return None
    return WorkerBounds(least, least if most is None else max(least, most))


def _read(path: Path) -> tuple[bytes, float]:
    """Return the text of a file, and when it has changed. Blocks. Raises OSError.

    Opened by its path each time: what mounts a ConfigMap puts another folder in the place of a link.
    """
    # A pipe would be waited for.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no file")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_BYTES + 1), found.st_mtime
    finally:
        os.close(descriptor)
