"""A model whose files its author changes: it is loaded anew when they do."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from mms import faults
from mms.errors import ServerError
from mms.serving.options import Outcome, RegisterOptions
from mms.serving.served import ServedModel
from mms.serving.watched.model_swap import ModelSwap, Superseded
from mms.serving.watched.newest_change import NewestChange, reason_of

logger = logging.getLogger("mms.serving")

#: Between two looks, in seconds.
_INTERVAL_S: Final = 0.4
#: Looks after which the files that have come to rest wait no longer for those that have not.
_MOST_LOOKS: Final = 10
#: Of a folder: more files are not looked at.
_MAX_FILES: Final = 10_000
#: What only the author writes, and a model's code does not.
_CODE: Final = ".py"
#: What a model's author writes, and saved models; not what its code may write while it runs.
_SUFFIXES: Final = frozenset(
    (
        *(_CODE, ".json", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".txt", ".pbtxt"),
        *(".pkl", ".pickle", ".joblib", ".skops", ".onnx", ".pt", ".pth", ".pt2", ".safetensors"),
        *(".bst", ".ubj", ".keras", ".h5", ".pb", ".mar", ".model"),
    )
)
_OF_AN_ENVIRONMENT: Final = "pyvenv.cfg"
_NEVER: Final = frozenset(("__pycache__", "node_modules", "logs"))

#: Registers a model, and waits for its workers if it is asked to.
Register = Callable[[RegisterOptions], Awaitable[tuple[ServedModel, Outcome]]]
#: What files look like, by their paths: time of change in ns, size in bytes, inode.
Files = Mapping[str, tuple[int, int, int]]


class FollowedModel:
    """Registers a model, and replaces it when its files have changed. Called on the event loop.

    One that cannot be loaded leaves the former one as it is, and is tried again with the next change. A file counts
    as changed once two looks have found the same. Code is followed while it loads, too; another file that changes
    during two loads in a row is taken for one that the model writes itself, and changes during loads do not count then.
    """

    def __init__(
        self,
        path: Path,
        options: RegisterOptions,
        swap: ModelSwap,
        register: Register,
        interval_s: float = _INTERVAL_S,
    ) -> None:
        """`path`: the file or folder that is looked at, every `interval_s` seconds."""
        self._path = path
        # It is waited for here, and given up where its files change again.
        self._options = replace(options, synchronous=False)
        self._swap = swap
        self._register = register
        self._interval_s = interval_s
        self._served: ServedModel | None = None
        self._changes = NewestChange(self._act)
        self._task: asyncio.Task[None] | None = None
        #: As they were last acted upon, and at the last look.
        self._files: Files = {}
        self._seen: Files = {}
        self._looking = asyncio.Lock()
        #: Looks since the first that has found a change.
        self._looks = 0
        #: Files that are no code and changed during this load, and during the one before it.
        self._in_this_load: set[str] = set()
        self._in_last_load: set[str] = set()
        #: Of which it is said that their changes do not count.
        self._told: set[str] = set()

    def __repr__(self) -> str:
        return f"<FollowedModel {self._path}>"

    async def start(self) -> None:
        """Register the model, which may fail, and look for changes until closed. Return once it is up or has failed."""
        self._files = self._seen = await asyncio.to_thread(source_files, self._path)
        loading = self._changes.come()
        self._task = asyncio.get_running_loop().create_task(self._run())
        try:
            await asyncio.wait((loading,))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
        self._changes.close()

    async def _run(self) -> None:
        while True:
            # Editors and tools write in several steps: what has just changed is looked at again soon.
            await asyncio.sleep(self._interval_s / 4 if self._looks else self._interval_s)
            with faults.contained("reload"):
                await self._look()

    async def _look(self) -> None:
        async with self._looking:
            is_loading = self._changes.task is not None
            now = await asyncio.to_thread(source_files, self._path)
            changed = {
                file
                for file in now.keys() | self._files.keys()
                if now.get(file) != self._files.get(file)
            }
            if is_loading:
                changed -= self._note_own(changed, now)
            at_rest = {file for file in changed if now.get(file) == self._seen.get(file)}
            self._seen = now
            self._looks = self._looks + 1 if changed else 0
            if at_rest != changed:
                if self._looks < _MOST_LOOKS:
                    return
                for file in changed - at_rest:
                    self._tell(file, "is written all the time: its changes count when it is not.")
            if not at_rest:
                return
            self._looks = 0
            self._take(at_rest, now)
        logger.info("%s has changed: loading it anew.", self._path)
        self._changes.come()

    def _note_own(self, changed: set[str], now: Files) -> set[str]:
        """Return which of the files that have changed during a load the model writes itself; they do not count."""
        no_code = {file for file in changed if not file.endswith(_CODE) and file != str(self._path)}
        self._in_this_load |= no_code
        own = no_code & self._in_last_load
        self._take(own, now)
        for file in own:
            self._tell(
                file,
                "has changed during two loads in a row: the model seems to write it itself. What changes it during "
                "a load does not load the model anew from now on.",
            )
        return own

    def _take(self, files: set[str], now: Files) -> None:
        """Act upon no change of these files but the next one."""
        kept = {file: look for file, look in self._files.items() if file not in files}
        self._files = kept | {file: now[file] for file in files if file in now}

    def _tell(self, file: str, what: str) -> None:
        if file not in self._told:
            self._told.add(file)
            logger.warning("%s %s", file, what)

    async def _act(self, superseded: asyncio.Future[None]) -> None:
        self._in_last_load, self._in_this_load = self._in_this_load, set()
        await self._update(superseded)
        with faults.contained("reload"):
            # What has changed until now has changed during the load.
            await self._look()

    async def _update(self, superseded: asyncio.Future[None]) -> None:
        old = self._served
        if old is not None and not self._swap.holds(old):
            # Somebody has unregistered it, or it has gone with its parts before its successor could be loaded.
            old = None
        try:
            if old is None:
                served, _ = await self._register(self._options)
                await self._swap.loaded(served, superseded)
                self._served = served
            else:
                self._served = await self._swap.replace(
                    *(old, self._options, old.name, 1), superseded=superseded
                )
        except Superseded:
            logger.info("%s has changed again before it was loaded.", self._path)
        except ServerError as error:
            stays = "The former one is gone. "
            if old is None:
                stays = ""
            elif self._swap.holds(old):
                stays = "The former one goes on serving. "
            logger.error(
                "%s cannot be served: %s %sIt is tried again when a file changes.",
                *(self._path, reason_of(error), stays),
            )
        except Exception as error:
            faults.note("reload", error, str(self._path))


def source_files(path: Path) -> Files:
    """Return what the files look like that a model's author writes. Blocks. What cannot be read counts as absent."""
    found = {}
    for file in [str(path)] if path.is_file() else _sources(path):
        try:
            status = os.stat(file)
        except OSError:
            continue
        # Another file of the same size and time is another one.
        found[file] = (status.st_mtime_ns, status.st_size, status.st_ino)
        if len(found) >= _MAX_FILES:
            break
    return found


def _sources(folder: Path) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        if _OF_AN_ENVIRONMENT in names and place != str(folder):
            folders.clear()
            continue
        folders[:] = [name for name in folders if name not in _NEVER and not name.startswith(".")]
        for name in names:
            if os.path.splitext(name)[1] in _SUFFIXES and not name.startswith("."):
                yield os.path.join(place, name)
