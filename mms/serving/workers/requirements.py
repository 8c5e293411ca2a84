"""The packages that a model asks for: installed before its workers start, once for all that ask for the same."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mms import faults
from mms.errors import BadRequest
from mms.launch import LaunchFailed, interpreter
from mms.repository import FetchedArchive
from mms.repository.requirements import (
    Installation,
    Requirements,
    RequirementsFailed,
    find_requirements,
    pip_environment,
    requirements_file,
)

if TYPE_CHECKING:
    from mms.settings import Settings
    from mms.settings.confinement import WorkerUser

logger = logging.getLogger("mms.serving")

OFF = "off"


class ModelRequirements:
    """What one model asks for, and how far its installation is."""

    def __init__(self, wanted: Requirements, installer: RequirementsInstaller, model: str) -> None:
        self._wanted = wanted
        self._installer = installer
        self._model = model
        self._state = "waiting"
        self._progress = ""

    def __repr__(self) -> str:
        return f"<ModelRequirements {self._wanted.name} of {self._model}, {self._state}>"

    @property
    def python(self) -> str | None:
        """The interpreter to run workers with, where it is not the model's own."""
        return self._wanted.python

    @property
    def packages(self) -> str | None:
        """The folder that workers import from, besides what they have."""
        return self._wanted.packages

    async def install(self) -> None:
        """Return when all is there. Raises RequirementsFailed."""
        if self._state != "installed":
            self._state = "installing"
        try:
            await self._installer.install(self._wanted, self._note)
        except RequirementsFailed as error:
            self._state, self._progress = "failed", str(error)
            raise
        self._state, self._progress = "installed", ""

    def _note(self, line: str) -> None:
        self._progress = line
        logger.info("%s of model %s: %s", self._wanted.name, self._model, line)

    def describe(self) -> dict[str, Any]:
        progress = {"progress": self._progress} if self._progress else {}
        return {
            "file": self._wanted.name,
            "install": self._wanted.mode,
            "state": self._state,
            **progress,
        }


@dataclass(slots=True, eq=False)
class _Running:
    installation: Installation
    task: asyncio.Task[None]
    listeners: list[Any]


class RequirementsInstaller:
    """Runs one installation for all that wait for the same. Called on the event loop."""

    def __init__(
        self,
        cache: Path,
        settings: Settings,
        environ: Mapping[str, str],
        environment: Mapping[str, str],
    ) -> None:
        """`cache`: what was installed stays there. `environ`: the server's variables, `environment`: a worker's."""
        self.cache = cache
        self._environment = pip_environment(environment, environ)
        self._timeout_s = settings.requirements_timeout_s
        self._user = _process_user(settings.worker_user)
        self._running: dict[str, _Running] = {}

    def __repr__(self) -> str:
        return f"<RequirementsInstaller in {self.cache}, {len(self._running)} running>"

    async def install(self, wanted: Requirements, listener: Any) -> None:
        """Install, or wait for one that is under way. Ended once nobody waits. Raises RequirementsFailed."""
        running = self._running.get(wanted.key)
        if running is None:
            running = self._running[wanted.key] = self._begin(wanted)
        running.listeners.append(listener)
        try:
            await asyncio.shield(running.task)
        finally:
            running.listeners.remove(listener)
            if not running.listeners and not running.task.done():
                self._running.pop(wanted.key, None)
                await asyncio.to_thread(running.installation.cancel)

    async def close(self) -> None:
        """End what is under way."""
        for running in list(self._running.values()):
            await asyncio.to_thread(running.installation.cancel)
            with contextlib.suppress(RequirementsFailed):
                await running.task

    def _begin(self, wanted: Requirements) -> _Running:
        loop = asyncio.get_running_loop()
        listeners: list[Any] = []

        def tell(line: str) -> None:
            # Each worker of a model waits for it; the model is told once.
            for listener in dict.fromkeys(listeners):
                with faults.contained("requirements"):
                    listener(line)

        installation = Installation(
            wanted,
            self._environment,
            self._timeout_s,
            lambda line: _call(loop, tell, line),
            self._user,
        )
        task = loop.create_task(asyncio.to_thread(installation.run))

        def end(done: asyncio.Task[None]) -> None:
            running = self._running.get(wanted.key)
            if running is not None and running.task is done:
                del self._running[wanted.key]
            if not done.cancelled():
                # Told to whoever waits for it; there may be nobody any more.
                done.exception()

        task.add_done_callback(end)
        return _Running(installation, task, listeners)


async def model_requirements(
    name: str,
    archive: FetchedArchive,
    runtime: str,
    way: str,
    installer: RequirementsInstaller,
    *,
    is_allowed: bool,
) -> ModelRequirements | None:
    """What the archive of a model asks for; None where that is nothing, or `way` is `off`, which is told then.

    Raises BadRequest where it is not allowed, or there is no interpreter to install for.
    """
    named = archive.manifest.requirements_file if archive.manifest is not None else None
    file = await asyncio.to_thread(requirements_file, archive.folder, named)
    if file is None:
        return None
    if way == OFF:
        logger.warning(
            "%s of model %s is not installed: install_requirements is off. Set it to folder or venv to install it.",
            *(file, name),
        )
        return None
    if not is_allowed:
        raise BadRequest(
            f"{file} of model {name} is not installed: allowed_requirements=false. Register it with "
            "install_requirements=off where the server has its packages."
        )
    try:
        wanted = await asyncio.to_thread(
            find_requirements, archive.folder, file, way, interpreter(runtime), installer.cache
        )
    except (LaunchFailed, OSError) as error:
        raise BadRequest(f"{file} of model {name} cannot be installed: {error}") from None
    return ModelRequirements(wanted, installer, name)


def _call(loop: asyncio.AbstractEventLoop, tell: Any, line: str) -> None:
    # The loop may be gone by now, with whoever listened.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(tell, line)


def _process_user(user: WorkerUser | None) -> dict[str, Any]:
    """As who pip runs the code of packages that it builds: as workers do."""
    if user is None:
        return {}
    return {"user": user.uid, "group": user.gid, "extra_groups": list(user.groups)}
