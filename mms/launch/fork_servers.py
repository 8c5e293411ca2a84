"""The fork servers of a server: one for each kind of worker, started when it is needed, and anew where it has to be."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mms import faults
from mms.launch.fork_server import (
    ForkServer,
    ForkServerKind,
    ImportKilled,
    UnsafeModule,
    start_fork_server,
)
from mms.launch.interface import LaunchFailed, WorkerSpec
from mms.launch.preloading import Preloading, is_unsafe
from mms.launch.supervisor import Supervisor
from mms.wire import Loaded

logger = logging.getLogger("mms.launch")

#: Fork servers at once. Where one more is needed the least recently used one is ended.
_MOST_SERVERS = 8
#: A kind whose fork server does not come up has its workers started one by one: for the first time at first, twice as
#: long each time, and for the second at most, in seconds.
_RETRY_S = (1.0, 60.0)
#: Kinds with packages of their own have a fork server from this worker on.
_WORTH_IT = 2


@dataclass(slots=True, eq=False)
class _Kind:
    """What there is for the workers of one kind."""

    spec: WorkerSpec
    preloading: Preloading
    server: ForkServer | None = None
    #: Starts the next one.
    starting: asyncio.Task[None] | None = None
    workers: int = 0
    used_at: float = 0.0
    #: Fork servers in a row that did not come up.
    failures: int = 0
    not_before: float = 0.0
    #: What the last fork server was importing when somebody killed it; empty if nobody did.
    killed_at: str = ""

    def put_off(self) -> float:
        """Start none for a while. Returns how long, in seconds."""
        delay_s = min(_RETRY_S[0] * 2.0**self.failures, _RETRY_S[1])
        self.failures += 1
        self.not_before = time.monotonic() + delay_s
        return delay_s


class ForkServers:
    """Owned by the event loop."""

    def __init__(
        self,
        supervisor: Supervisor,
        modules: Sequence[str],
        never: Collection[str],
        *,
        is_on: bool,
        timeout_s: float,
    ) -> None:
        """`modules`: to be imported by all. `never`: packages that none imports. `timeout_s`: to start one."""
        self._supervisor = supervisor
        self._modules = modules
        self._never = never
        self._timeout_s = timeout_s
        #: A process that it did not start can be followed to its end only by such a descriptor.
        self.is_on = is_on and sys.platform == "linux" and hasattr(os, "pidfd_open")
        self._kinds: dict[ForkServerKind, _Kind] = {}
        self._numbers = itertools.count(1)
        for name in filter(is_unsafe, modules):
            logger.warning(
                "preload_modules: %s is not preloaded, as it starts threads or opens devices when it is imported.",
                name,
            )

    def __repr__(self) -> str:
        running = sum(1 for kind in self._kinds.values() if kind.server is not None)
        return f"<ForkServers {running} of {len(self._kinds)} kinds>"

    async def find(self, spec: WorkerSpec) -> ForkServer | None:
        """Return the fork server for a worker; None where it is to be started by itself."""
        if not self.is_on:
            return None
        kind = self._kind_of(spec)
        kind.workers += 1
        kind.used_at = time.monotonic()
        if spec.has_own_packages and kind.workers < _WORTH_IT:
            return None
        server = kind.server
        if server is not None and not server.has_ended:
            changed = await server.changed_path()
            if changed is None:
                if not server.has_ended:
                    return server
            elif kind.server is server:
                logger.info("%s has changed: there will be a new fork server.", changed)
                server.close()
                kind.server = None
        if kind.server is None or kind.server.has_ended:
            kind.server = None
            self._start(kind)
            if kind.starting is not None:
                await asyncio.wait((kind.starting,))
        return kind.server

    def learn(self, spec: WorkerSpec, loaded: Loaded) -> None:
        """A worker has loaded: what it has imported is imported once for all, as soon as a second model needs it."""
        kind = self._kinds.get(ForkServerKind.of(spec))
        if kind is None or loaded.code != 200:
            return
        model = f"{spec.load.model_name} {spec.load.model_version}"
        if kind.preloading.note(model, loaded.imports) and kind.server is not None:
            self._start(kind)

    def process_ids(self) -> list[int]:
        """Return the processes of the fork servers that are up."""
        running = [kind.server for kind in self._kinds.values() if kind.server is not None]
        return [server.pid for server in running if not server.has_ended]

    async def close(self) -> None:
        tasks = [kind.starting for kind in self._kinds.values() if kind.starting is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for kind in self._kinds.values():
            if kind.server is not None:
                kind.server.close()
        self._kinds.clear()

    def _kind_of(self, spec: WorkerSpec) -> _Kind:
        key = ForkServerKind.of(spec)
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = _Kind(spec, Preloading(self._modules, self._never))
            self._end_least_used()
        return kind

    def _end_least_used(self) -> None:
        running = [(key, kind) for key, kind in self._kinds.items() if kind.starting is None]
        if len(self._kinds) > _MOST_SERVERS and running:
            key, kind = min(running, key=lambda item: item[1].used_at or time.monotonic())
            del self._kinds[key]
            if kind.server is not None:
                kind.server.close()

    def _start(self, kind: _Kind) -> None:
        """Start a fork server with all modules that are known by now; the one that runs serves until it is up."""
        if kind.starting is None and time.monotonic() >= kind.not_before:
            kind.starting = asyncio.get_running_loop().create_task(self._renew(kind))

    async def _renew(self, kind: _Kind) -> None:
        try:
            while True:
                wanted = (*kind.preloading.modules, *kind.preloading.learned)
                try:
                    server = await self._started(kind)
                except UnsafeModule as unsafe:
                    self._exclude(kind, *unsafe.args)
                    continue
                except ImportKilled as killed:
                    # Once is chance.
                    (name,) = killed.args
                    before, kind.killed_at = kind.killed_at, name
                    if before == name:
                        self._exclude(kind, name, "a fork server was killed twice at its import")
                        kind.killed_at = ""
                    elif before:
                        problem = f"it was killed at the import of {before}, then of {name}"
                        raise LaunchFailed(problem) from None
                    continue
                kind.failures, kind.killed_at = 0, ""
                former, kind.server = kind.server, server
                if former is not None:
                    former.close()
                if wanted == (*kind.preloading.modules, *kind.preloading.learned):
                    return
        except LaunchFailed as error:
            logger.warning(
                "There is no fork server for %g seconds, workers are started one by one: %s",
                *(kind.put_off(), error),
            )
        except Exception as error:
            kind.put_off()
            faults.note("fork server", error)
        finally:
            kind.starting = None

    @staticmethod
    def _exclude(kind: _Kind, name: str, reason: str) -> None:
        kind.preloading.exclude(name)
        logger.warning("Module %s is not preloaded: %s.", name, reason)

    async def _started(self, kind: _Kind) -> ForkServer:
        name = f"fork-server-{next(self._numbers)}"
        return await start_fork_server(
            self._supervisor, kind.spec, kind.preloading, name, self._timeout_s
        )
