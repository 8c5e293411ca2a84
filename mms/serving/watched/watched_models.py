"""Has what is served follow what lies in a folder."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import quote

from mms import faults
from mms.errors import ServerError
from mms.serving.options import RegisterOptions
from mms.serving.served import ServedModel
from mms.serving.state.startup_models import name_from_url
from mms.serving.watched.folder import Stamp, scan
from mms.serving.watched.model_swap import ModelSwap, Superseded
from mms.serving.watched.newest_change import NewestChange, reason_of

logger = logging.getLogger("mms.serving")


@dataclass(slots=True, eq=False)
class _Followed:
    """An archive, and its model, if it has made one."""

    #: In the folder, by now.
    name: str
    #: As it was last acted upon, or is to be; None: it is gone.
    stamp: Stamp | None = None
    served: ServedModel | None = None
    #: What is to be gone before it is acted upon, since it may have its name.
    removals: Collection[asyncio.Task[None]] = ()
    changes: NewestChange = field(init=False)

    @property
    def task(self) -> asyncio.Task[None] | None:
        return self.changes.task


class WatchedModels:
    """Looks at a folder at intervals, and registers, replaces and unregisters models. Called on the event loop.

    A file that is still being written is left alone: a change is acted upon once two looks have found the same, or at
    once where it is older than the interval.
    """

    def __init__(
        self,
        folder: Path,
        swap: ModelSwap,
        *,
        interval_s: float,
        count: int,
    ) -> None:
        """`count`: the workers of a model whose archive does not say it."""
        self._folder = folder.absolute()
        self._swap = swap
        self._interval_s = interval_s
        self._count = count
        self._followed: dict[str, _Followed] = {}
        self._seen: dict[str, Stamp] = {}
        self._is_unreadable = False
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<WatchedModels of {self._folder}, {len(self._followed)} archives>"

    async def start(self) -> None:
        """Register what is there now, and look again at intervals until closed."""
        await self.look()
        await self.settled()
        for followed in self._followed.values():
            if followed.served is not None:
                followed.served.is_loaded_at_startup = True
        self._task = asyncio.get_running_loop().create_task(self._run())

    def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
        for followed in self._followed.values():
            followed.changes.close()

    async def settled(self) -> None:
        """Return once all that was found by now has been acted upon."""
        tasks = [each.task for each in self._followed.values() if each.task is not None]
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            with faults.contained("models_dir"):
                await self.look()

    async def look(self) -> None:
        """Find out what has changed, and begin to act upon it. Nothing is raised: what fails concerns one archive."""
        try:
            stamps = await asyncio.to_thread(scan, self._folder)
        except (ServerError, OSError) as error:
            if not self._is_unreadable:
                self._is_unreadable = True
                logger.error(
                    "models_dir=%s cannot be read: %s. Its models stay.", self._folder, error
                )
            return
        if self._is_unreadable:
            self._is_unreadable = False
            logger.info("models_dir=%s can be read again.", self._folder)
        for name, stamp in stamps.items():
            self._follow_rename(name, stamp, stamps)
        settled_at = time.time() - self._interval_s
        gone = [
            name
            for name, followed in self._followed.items()
            if followed.stamp is not None and name not in stamps and name not in self._seen
        ]
        changed = [
            (name, stamp)
            for name, stamp in stamps.items()
            # What has no model may have had a name that is free now.
            if (self._is_new(name, stamp) or (gone and self._followed[name].served is None))
            and (self._seen.get(name) == stamp or stamp.is_older_than(settled_at))
        ]
        self._seen = stamps
        removals = [self._act(name, None) for name in gone]
        for name, stamp in changed:
            self._act(name, stamp, removals)

    def _follow_rename(self, name: str, stamp: Stamp, stamps: Mapping[str, Stamp]) -> None:
        """Have what has another name by now take the place of the model that it was, and not of none."""
        if name in self._followed:
            return
        for former, followed in self._followed.items():
            if followed.stamp == stamp and former not in stamps:
                self._followed[name] = self._followed.pop(former)
                followed.name = name
                self._act(name, stamp)
                return

    def _is_new(self, name: str, stamp: Stamp) -> bool:
        followed = self._followed.get(name)
        return followed is None or followed.stamp != stamp

    def _act(
        self, name: str, stamp: Stamp | None, removals: Collection[asyncio.Task[None]] = ()
    ) -> asyncio.Task[None]:
        """Have an archive's change acted upon. `removals` free names that it may have."""
        followed = self._followed.get(name)
        if followed is None:
            followed = self._followed[name] = _Followed(name)
            followed.changes = NewestChange(partial(self._acting, followed))
        followed.stamp = stamp
        if followed.task is None:
            followed.removals = removals
        return followed.changes.come()

    async def _acting(self, followed: _Followed, superseded: asyncio.Future[None]) -> None:
        removals, followed.removals = followed.removals, ()
        if removals and followed.served is None:
            await asyncio.wait(removals)
        if followed.stamp is None:
            await self._remove(followed)
        else:
            await self._update(followed, superseded)
        if followed.stamp is None:
            self._followed.pop(followed.name, None)

    async def _update(self, followed: _Followed, superseded: asyncio.Future[None]) -> None:
        name = followed.name
        if not name.isprintable():
            # Neither a url nor a model's name could have it; bytes that are no UTF-8 are such characters, too.
            logger.error("models_dir: %a is not served: its name is not printable UTF-8.", name)
            return
        options = RegisterOptions(
            f"file://{quote(str(self._folder / name))}", is_from_operator=True, synchronous=False
        )
        old = followed.served
        if old is not None and not self._swap.holds(old):
            # Somebody has unregistered it.
            old = None
        try:
            if old is None:
                followed.served = await self._swap.add(options, name_from_url(name), self._count)
                logger.info("models_dir: %s is served as %s.", name, followed.served.full_name)
            else:
                followed.served = await self._swap.replace(
                    *(old, options, name_from_url(name), self._count),
                    superseded=superseded,
                )
        except Superseded:
            logger.info("models_dir: %s has changed again before it was loaded and tried.", name)
        except ServerError as error:
            rest = ""
            if old is not None:
                stays = "stays as it was" if self._swap.holds(old) else "is gone"
                rest = f" Model {old.full_name} {stays}."
            logger.error("models_dir: %s is not served: %s%s", name, reason_of(error), rest)
        except Exception as error:
            faults.note("models_dir", error, name)

    async def _remove(self, followed: _Followed) -> None:
        name = followed.name
        served, followed.served = followed.served, None
        if served is None or not self._swap.holds(served):
            return
        try:
            await self._swap.remove(served)
        except ServerError as error:
            logger.error(
                "models_dir: %s is gone, and model %s stays: %s",
                *(name, served.full_name, error.message),
            )
        except Exception as error:
            faults.note("models_dir", error, name)
        else:
            logger.info("models_dir: %s is gone, and so is model %s.", name, served.full_name)
