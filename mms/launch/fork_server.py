"""A fork server: a process that has imported what workers need, from which they are forked in milliseconds."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mms.launch.environment import fork_server_command
from mms.launch.forks import Forks
from mms.launch.interface import LaunchFailed, WorkerSpec
from mms.launch.preloading import Preloading
from mms.launch.supervisor import SupervisedProcess, Supervisor
from mms.processes.exits import describe_exit

logger = logging.getLogger("mms.launch")

_FOLDER = Path("/")
#: Variables that say who a process is. Those of the workers' user must not say whose packages the interpreter starts
#: with, while it is still the server's.
_ACCOUNT_VARIABLES = ("HOME", "USER", "LOGNAME")
#: A fork server that has come to this size imports no more learned modules, in bytes.
_MOST_BYTES = 1 << 30
#: How often it is looked whether packages have changed, in seconds.
_LOOK_S = 1.0
_KILLED = describe_exit(-signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class ForkServerKind:
    """Workers of one kind are forked from one process: what is the same for them before anything is imported."""

    runtime: str
    environment: tuple[tuple[str, str], ...]
    user: str
    packages: str | None

    @classmethod
    def of(cls, spec: WorkerSpec) -> ForkServerKind:
        shared = {k: v for k, v in spec.environment.items() if k not in spec.own_variables}
        user = spec.load.confinement.get("user")
        return cls(spec.runtime, tuple(sorted(shared.items())), str(user), spec.load.packages)


class UnsafeModule(Exception):
    """A module that no fork server can import. The arguments are its name and the reason, a clause."""


class ImportKilled(Exception):
    """Somebody has killed a fork server while it imported the module that is the argument."""


@dataclass(slots=True)
class ForkServer:
    """One running fork server."""

    forks: Forks
    process: SupervisedProcess
    #: Its own, below the keeper that is `process`.
    pid: int
    #: What it has imported: name -> seconds.
    imported: dict[str, float]
    resident_bytes: int
    #: Files and folders that it has imported from: path -> when they were changed, in nanoseconds.
    stamps: dict[str, int]
    _looked_at: float = field(default_factory=time.monotonic)

    @property
    def has_ended(self) -> bool:
        return self.forks.ended.done()

    async def changed_path(self) -> str | None:
        """Return a file or folder that has changed since it was imported; looked for once a second at most."""
        now = time.monotonic()
        if now - self._looked_at < _LOOK_S:
            return None
        self._looked_at = now
        return await asyncio.to_thread(_changed_path, self.stamps)

    def close(self) -> None:
        """Fork no more. The workers stay."""
        self.forks.close()


async def start_fork_server(
    supervisor: Supervisor, spec: WorkerSpec, preloading: Preloading, name: str, timeout_s: float
) -> ForkServer:
    """Start one for workers such as this one. Raises LaunchFailed, UnsafeModule and ImportKilled."""
    command = fork_server_command(spec.runtime, name)
    environment = {k: v for k, v in spec.environment.items() if k not in spec.own_variables}
    user = spec.load.confinement.get("user")
    later = {}
    if user:
        later = {k: environment.pop(k) for k in _ACCOUNT_VARIABLES if k in environment}
    forks = Forks(supervisor)
    answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    importing = ""

    def on_message(message: dict[str, Any]) -> None:
        nonlocal importing
        if "importing" in message:
            importing = message["importing"]
        elif not answer.done():
            answer.set_result(message)

    forks.on_message = on_message
    try:
        process = await supervisor.start(
            command,
            environment,
            _FOLDER,
            lambda stream, line: logger.info("%s: %s", name, line),
            is_parent=True,
            on_numbered=lambda process: None,
            input_end=forks.its_end,
        )
        forks.attach(process)
        forks.send(
            {
                "environment": later,
                "user": user,
                "packages": spec.load.packages,
                "modules": preloading.modules,
                "learned": preloading.learned,
                "most_bytes": _MOST_BYTES,
            }
        )
        await asyncio.wait(
            (answer, forks.ended), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        if not answer.done():
            if not forks.ended.done():
                process.kill()
                if importing:
                    reason = f"its import has not ended within {timeout_s:g} seconds"
                    raise UnsafeModule(importing, reason)
                raise LaunchFailed(f"it was not up within {timeout_s:g} seconds")
            end = await process.ended
            if importing and end == _KILLED:
                raise ImportKilled(importing)
            if importing:
                raise UnsafeModule(importing, f"its import has ended the process: {end}")
            raise LaunchFailed(f"it has ended: {end}")
        return _ready(answer.result(), forks, process, name)
    except OSError as error:
        forks.close()
        raise LaunchFailed(f"cannot start {command[0]}: {error}") from None
    except BaseException:
        forks.close()
        raise


def _ready(
    answer: Mapping[str, Any], forks: Forks, process: SupervisedProcess, name: str
) -> ForkServer:
    if "unsafe" in answer:
        raise UnsafeModule(answer["unsafe"], answer["reason"])
    ready = answer["ready"]
    for module, reason in ready["failed"].items():
        logger.warning("%s cannot import %s: %s", name, module, reason)
    server = ForkServer(
        forks,
        process,
        ready["pid"],
        ready["imported"],
        ready["resident_bytes"],
        ready["stamps"],
    )
    logger.info(
        "%s, process %d, is ready: %d MB, %s",
        *(name, server.pid, server.resident_bytes >> 20),
        _summary(server.imported),
    )
    return server


def _summary(imported: Mapping[str, float]) -> str:
    if not imported:
        return "nothing preloaded"
    costly = sorted(imported, key=imported.__getitem__, reverse=True)[:5]
    more = f" and {len(imported) - len(costly)} more" if len(imported) > len(costly) else ""
    return f"has imported {', '.join(costly)}{more} in {sum(imported.values()):.2f} seconds"


def _changed_path(stamps: Mapping[str, int]) -> str | None:
    for path, changed_ns in stamps.items():
        try:
            if os.stat(path).st_mtime_ns != changed_ns:
                return path
        except OSError:
            return path
    return None
