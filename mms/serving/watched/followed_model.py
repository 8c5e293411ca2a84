"""A model whose files its author changes: it is loaded anew when they do."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

from mms import faults
from mms.errors import ServerError, WorkerStartFailed
from mms.serving.options import Outcome, RegisterOptions
from mms.serving.served import ServedModel
from mms.serving.watched.folder import Stamp
from mms.serving.watched.model_swap import ModelSwap, Superseded

logger = logging.getLogger("mms.serving")

#: Between two looks, in seconds.
_INTERVAL_S: Final = 0.4
#: Of a folder: more files are not looked at.
_MAX_FILES: Final = 10_000
#: What a model's author writes, and saved models; not what its code may write while it runs.
_SUFFIXES: Final = frozenset(
    (
        *(".py", ".json", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".txt", ".pbtxt"),
        *(".pkl", ".pickle", ".joblib", ".skops", ".onnx", ".pt", ".pth", ".pt2", ".safetensors"),
        *(".bst", ".ubj", ".keras", ".h5", ".pb", ".mar", ".model"),
    )
)
_OF_AN_ENVIRONMENT: Final = "pyvenv.cfg"
_NEVER: Final = frozenset(("__pycache__", "node_modules", "logs"))

#: Registers a model and waits for its workers.
Register = Callable[[RegisterOptions], Awaitable[tuple[ServedModel, Outcome]]]


class FollowedModel:
    """Registers a model, and replaces it when its files have changed. Called on the event loop.

    One that cannot be loaded leaves the former one as it is, and is tried again with the next change.
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
        self._options = options
        self._swap = swap
        self._register = register
        self._interval_s = interval_s
        self._served: ServedModel | None = None
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<FollowedModel {self._path}>"

    async def start(self) -> None:
        """Register the model, which may fail, and look for changes until closed."""
        before = await asyncio.to_thread(source_stamp, self._path)
        await self._update()
        self._task = asyncio.get_running_loop().create_task(self._run(before))

    def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self, before: Stamp) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            with faults.contained("reload"):
                now = await asyncio.to_thread(source_stamp, self._path)
                if now == before:
                    continue
                # Editors and tools write in several steps.
                while (later := await self._next_look()) != now:
                    now = later
                before = now
                logger.info("%s has changed: loading it anew.", self._path)
                await self._update()

    async def _next_look(self) -> Stamp:
        await asyncio.sleep(self._interval_s / 4)
        return await asyncio.to_thread(source_stamp, self._path)

    async def _update(self) -> None:
        old = self._served
        if old is not None and not self._swap.holds(old):
            # Somebody has unregistered it.
            old = None
        try:
            if old is None:
                self._served, _ = await self._register(self._options)
            else:
                self._served = await self._swap.replace(old, self._options, old.name, 1)
        except Superseded:
            return
        except ServerError as error:
            reason = error.reason if isinstance(error, WorkerStartFailed) else error.message
            stays = "" if old is None else " The former one goes on serving."
            logger.error(
                "%s cannot be served: %s%s It is tried again when a file changes.",
                *(self._path, _sentence(reason or type(error).__name__), stays),
            )
        except Exception as error:
            faults.note("reload", error, str(self._path))


def source_stamp(path: Path) -> Stamp:
    """Return what the files look like that a model's author writes. Blocks. What cannot be read counts as absent."""
    newest = size = count = inode = 0
    for file in [path] if path.is_file() else _sources(path):
        try:
            status = os.stat(file)
        except OSError:
            continue
        newest = max(newest, status.st_mtime_ns)
        size += status.st_size
        # Another file of the same size and time is another model.
        inode ^= status.st_ino
        count += 1
        if count >= _MAX_FILES:
            break
    return Stamp(newest, size, count, inode)


def _sources(folder: Path) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        if _OF_AN_ENVIRONMENT in names and place != str(folder):
            folders.clear()
            continue
        folders[:] = [name for name in folders if name not in _NEVER and not name.startswith(".")]
        for name in names:
            if os.path.splitext(name)[1] in _SUFFIXES and not name.startswith("."):
                yield os.path.join(place, name)


def _sentence(text: str) -> str:
    return text if text.endswith(".") else text + "."
