"""What clients connect to: the HTTP front, and the gRPC fronts where the settings have any."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from mms.errors import ConfigurationError
from mms.interfaces import find_interface, part
from mms.limits.memory import MemoryLimit
from mms.machine.cpus import available_cpus
from mms.machine.descriptors import connections_for, raise_descriptor_limit
from mms.observe import FrontCount, Recorder, logger_names
from mms.processes import garbage
from mms.security import Access
from mms.serving import ModelHost
from mms.settings import Settings
from mms.settings.option import AUTO_FRONTS
from mms.sockets.front_processes.front_processes import FrontProcesses

logger = logging.getLogger(logger_names.MODEL_SERVER)

#: With `fronts=auto`. The owner takes a CPU, and workers take most of the others.
_CPUS_PER_FRONT = 4

if TYPE_CHECKING:
    from mms.grpc import GrpcFront
    from mms.grpc.front import Listen
    from mms.http import HttpFront


def front_count(settings: Settings) -> int:
    """Return how many processes hold clients' connections; 0: the server's own does."""
    if settings.fronts == AUTO_FRONTS:
        return available_cpus() // _CPUS_PER_FRONT
    return settings.fronts


def limit_connections(settings: Settings) -> None:
    """Have `max_connections` be no more than this process may have files open for. A user who has set it is told."""
    descriptors = raise_descriptor_limit()
    # Those that front processes hold are not among the server's own files.
    possible = connections_for(descriptors) * max(front_count(settings), 1)
    if possible < settings.max_connections:
        # Who has not set it is told when connections are refused.
        if "max_connections" in settings.raw:
            logger.warning(
                "At most %d connections are accepted instead of max_connections=%d: this process may have %d files "
                "open (ulimit -n).",
                *(possible, settings.max_connections, descriptors),
            )
        settings.max_connections = possible


class Fronts:
    """All fronts of a server, from their start to their end. Owned by the event loop."""

    def __init__(
        self,
        settings: Settings,
        host: ModelHost,
        recorder: Recorder,
        scrape: Callable[[str | None], Awaitable[tuple[str, bytes]]],
        *,
        gpu_count: int,
        access: Access | None,
        memory: MemoryLimit,
    ) -> None:
        """`scrape`: makes the text of `/metrics` for an `Accept` header. `access` None: all may do everything."""
        self._settings = settings
        self._host = host
        self._recorder = recorder
        self._scrape = scrape
        self._gpu_count = gpu_count
        self._access = access
        self._memory = memory
        self._http: HttpFront | None = None
        self._processes: FrontProcesses | None = None
        self._grpc: list[GrpcFront] = []
        #: What writes down what is registered, as another server does.
        self._snapshots: Any = None

    def __repr__(self) -> str:
        return f"<Fronts {self._http!r}, {len(self._grpc)} of gRPC>"

    async def start(self) -> None:
        """Import them, and listen.

        Raises ConfigurationError where a package is missing that the settings need, and OSError for a taken address.
        """
        self._http = http = await self._make_http()
        count = front_count(self._settings)
        if count:
            self._processes = self._make_processes(count, http)
        # First, as probes over HTTP say that all is up.
        if self._settings.has_grpc:
            self._grpc = await self._make_grpc(http)
        for front in self._grpc:
            await front.start()
        if self._processes is None:
            await http.start()
        else:
            await http.start(self._processes.listen)
            await self._processes.start()
        await self._start_snapshots()

    async def _start_snapshots(self) -> None:
        name = self._settings.stands_for
        writer = find_interface(name).snapshots if name is not None else ""
        if writer:
            self._snapshots = part(writer).of(self._settings, self._host)
        if self._snapshots is not None:
            await self._snapshots.start()

    def _make_processes(self, count: int, http: HttpFront) -> FrontProcesses:
        settings = self._settings
        processes = FrontProcesses(
            count,
            http.certificates.parts_of,
            most_connections=settings.max_connections,
            is_hidden=settings.has_secrets,
            temp_dir=settings.temp_dir,
        )
        http.certificates.on_change.append(processes.renew_certificates)
        return processes

    def process_counts(self) -> list[FrontCount]:
        """Return what front processes do; nothing where there are none."""
        return [] if self._processes is None else self._processes.counts()

    async def _make_http(self) -> HttpFront:
        # aiohttp takes longer to import than all the rest; workers load their models meanwhile.
        http = await asyncio.to_thread(importlib.import_module, "mms.http")
        garbage.keep_imports()
        front: HttpFront = http.HttpFront(
            self._settings,
            self._host,
            self._recorder,
            self._scrape,
            worker_count=self._settings.worker_count_at_startup(self._gpu_count, available_cpus()),
            access=self._access,
            memory=self._memory,
            front_counts=self.process_counts,
        )
        return front

    async def _make_grpc(self, http: HttpFront) -> list[GrpcFront]:
        try:
            grpc = await asyncio.to_thread(importlib.import_module, "mms.grpc")
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] not in ("google", "hpack"):
                raise
            raise ConfigurationError(
                f"Invalid configuration: grpc_address={self._settings.raw.get('grpc_address', '')} needs the package "
                f'{error.name}: pip install "marserve[grpc]"'
            ) from None
        # Known by now, with the HTTP front.
        from mms.sockets.listeners import listen

        listen_to: Listen
        if self._processes is None:
            listen_to = partial(listen, limit=http.limit)
        else:
            listen_to = partial(self._processes.listen, limit=http.limit)
        make = partial(
            grpc.GrpcFront,
            *(self._settings, self._host, self._recorder.requests.append),
            self._recorder.errors.note,
            listen=listen_to,
            make_context=http.certificates.context,
            access=self._access,
            limit=http.limit,
            memory=self._memory,
            inflater=http.inflater,
        )
        return [make(place=place) for place in grpc.places(self._settings, self._host)]

    def checks(self) -> list[Callable[[], None]]:
        """Return the functions that look for changed certificates."""
        return [] if self._http is None else [self._http.certificates.check]

    async def stop_listening(self) -> None:
        """Refuse what is new."""
        if self._http is not None:
            await self._http.stop_listening()
        for front in self._grpc:
            await front.stop_listening()
        if self._snapshots is not None:
            await self._snapshots.stop()

    async def drain(self, timeout_s: float) -> None:
        """Wait until clients have their answers, or for so long."""
        for front in (self._http, *self._grpc):
            if front is not None:
                await front.drain(timeout_s)

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()
        for front in self._grpc:
            await front.close()
        if self._processes is not None:
            await self._processes.close()
