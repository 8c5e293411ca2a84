"""Workers on the nodes of a Ray cluster: Ray finds the node, and frames are all that the front sees of it."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mms import faults
from mms.errors import ConfigurationError
from mms.launch.interface import LaunchFailed, LinkListener, WorkerLink, WorkerSpec
from mms.launch.nodes.assignment import Assignment, boot_id, travelling
from mms.launch.nodes.authority import Authority
from mms.launch.nodes.link import HostedLink
from mms.launch.nodes.tls_listener import TlsListener
from mms.launch.process import ProcessLauncher
from mms.launch.ray.placer import Placement, RayPlacer
from mms.version import __version__

logger = logging.getLogger("mms.launch")

#: What a host gets to end by itself after its connection has ended, in seconds.
_LEAVE_S = 3.0
_LOCAL = "local"
#: Ray's names of them.
_STRATEGIES = {"pack": "DEFAULT", "spread": "SPREAD"}
_ANY_HOST = ("0.0.0.0", "::", "")


@dataclass(frozen=True, slots=True)
class RayOptions:
    """How a server uses Ray, as its settings say."""

    #: `auto`, `local`, or HOST:PORT.
    address: str = "auto"
    #: Where workers of other machines dial in; None: a free port of this node's address in the cluster.
    listen: tuple[str, int] | None = None
    ca_certificate: Path | None = None
    ca_key: Path | None = None
    #: How long a worker may wait for a node, in seconds; 0: as long as it takes.
    wait_s: float = 0.0
    #: How long a node's kernel may answer nothing until its workers are given up, in seconds.
    silence_s: float = 3.0
    #: Further arguments of `ray.init`, for tests.
    init: dict[str, Any] = field(default_factory=dict)

    def init_options(self) -> dict[str, Any]:
        """Return the arguments of `ray.init`."""
        options: dict[str, Any] = {
            "address": self.address,
            # Workers' output comes by frames, and what hosts say is in Ray's own files.
            "log_to_driver": False,
            "configure_logging": False,
        }
        if self.address == _LOCAL:
            options["include_dashboard"] = False
        return options | self.init


class RayLauncher:
    """Has Ray start a host for each worker, which dials in and starts the worker. Owned by the event loop."""

    def __init__(self, options: RayOptions, local: ProcessLauncher) -> None:
        """`local`: whose socket, supervisor and heartbeats are used."""
        self._options = options
        self._local = local
        self._placer = RayPlacer(local.supervisor, options.init_options())
        self._listener: TlsListener | None = None
        self._authority: Authority | None = None
        self._host = ""
        self._preparing = asyncio.Lock()
        self._reapers: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<RayLauncher {self._options.address}, {len(self._reapers)} workers>"

    @property
    def _is_remote(self) -> bool:
        """Whether workers may run on other machines."""
        return self._options.address != _LOCAL or self._options.listen is not None

    @property
    def _is_local_dialled(self) -> bool:
        """Whether hosts on this machine use the Unix socket: not where all are told to come to loopback by TLS."""
        listen = self._options.listen
        return listen is None or not _is_loopback(listen[0])

    async def start(self) -> None:
        """Join the cluster now. Raises ConfigurationError where that cannot be."""
        try:
            await self._prepare()
        except LaunchFailed as error:
            raise ConfigurationError(
                f"Invalid configuration: launcher=ray, ray_address={self._options.address}: {error}"
            ) from None

    async def launch(
        self, spec: WorkerSpec, listener: LinkListener, timeout_s: float
    ) -> WorkerLink:
        """Have a worker started, and return when it has dialled in. Raises LaunchFailed.

        It may wait for a node for longer than `timeout_s`, which begins when there is one.
        """
        await self._local.socket.ensure_listening()
        await self._prepare()
        secret = secrets.token_hex(16)
        link = HostedLink(
            spec.name, spec.load, listener, spec.max_frame_bytes, self._local.supervisor.turns
        )
        folders = [spec.load.model_dir, spec.load.packages, spec.load.model_files]
        message = {
            "key": spec.key,
            "folders": [folder for folder in folders if folder is not None],
            "assignment": self._assignment(spec, secret).to_members(),
            "resources": dict(spec.resources),
            "runtime_env": dict(spec.runtime_env),
            "strategy": _STRATEGIES[spec.strategy],
        }
        self._local.socket.expect(secret, link)
        placement = self._placer.place(message, link.on_waiting)

        def end_process() -> None:
            # A host that has dialled in sees the end of its connection, and ends in order.
            if not link.placed.done() or link.placed.cancelled():
                placement.kill()

        link.end_process = end_process
        reaper = asyncio.get_running_loop().create_task(self._reap(link, placement, secret))
        self._reapers.add(reaper)
        reaper.add_done_callback(self._reapers.discard)
        try:
            wait_s = self._options.wait_s or None
            await _wait_for(link.placed, link, wait_s, "there was a node for it")
            placement.note_placed()
            link.on_waiting("its node fetches the model")
            await _wait_for(link.hosted, link, spec.load_timeout_s, "its node had the model")
            link.on_waiting("")
        except asyncio.CancelledError:
            link.kill("start given up")
            raise
        await link.wait_connected(timeout_s)
        link.loaded.add_done_callback(lambda _: self._local.heartbeats.watch(link))
        return link

    async def assignment(self, spec: WorkerSpec, secret: str) -> Assignment:
        """Return what another process is told that is to dial in as a worker. Raises LaunchFailed."""
        await self._local.socket.ensure_listening()
        listen = self._options.listen
        if listen is None or listen[0] in _ANY_HOST:
            await self._prepare()
        else:
            await self._listen(listen[0])
        return self._assignment(spec, secret)

    async def forget(self, key: str) -> None:
        """Keep the model's files no longer."""
        self._placer.forget(key)

    def process_ids(self) -> list[int]:
        return [self._placer.pid] if self._placer.pid else []

    async def close(self) -> None:
        if self._listener is not None:
            self._listener.close()
        await self._placer.close()
        if self._reapers:
            await asyncio.wait(self._reapers, timeout=5)

    async def _prepare(self) -> None:
        """Have a connection to Ray, and a place where workers dial in. Raises LaunchFailed."""
        address = await self._placer.connect()
        if self._is_remote:
            await self._listen(address)

    async def _listen(self, address: str) -> None:
        """Have a place where others dial in: of `worker_address`, else of an address of this node."""
        async with self._preparing:
            if self._listener is not None:
                return
            host, port = self._options.listen or (address, 0)
            authority = await asyncio.to_thread(self._make_authority)
            listener = TlsListener(
                authority.front_context(), self._local.socket.accept, self._options.silence_s
            )
            try:
                await listener.start(host, port)
            except OSError as error:
                raise LaunchFailed(
                    f"cannot listen for workers at {host}:{port}: {error.strerror or error}"
                ) from None
            self._authority, self._listener = authority, listener
            self._host = address if host in _ANY_HOST else host
            logger.info(
                "Workers of other nodes dial in at %s:%d, by mutual TLS.",
                *(self._host, listener.port),
            )

    def _make_authority(self) -> Authority:
        options = self._options
        if options.ca_certificate is None or options.ca_key is None:
            return Authority.make()
        try:
            return Authority.of_files(options.ca_certificate, options.ca_key)
        except ConfigurationError as error:
            raise LaunchFailed(str(error)) from None

    def _assignment(self, spec: WorkerSpec, secret: str) -> Assignment:
        load = spec.load
        assignment = Assignment(
            name=spec.name,
            secret=secret,
            version=__version__,
            runtime=spec.runtime,
            handler=load.handler,
            model_dir=load.model_dir,
            packages=load.packages,
            decode_input_request=load.decode_input_request,
            # What the model asks for in so many words is stronger than what the server has.
            variables=travelling(spec.environment) | dict(spec.runtime_env.get("env_vars", {})),
            allowed_variables=_pattern(spec.allowed_variables),
            hidden_variables=_pattern(spec.hidden_variables),
            local_socket=str(self._local.socket.path) if self._is_local_dialled else "",
            boot_id=boot_id(),
            silence_s=self._options.silence_s,
        )
        if self._listener is not None and self._authority is not None:
            identity = self._authority.issue(spec.name)
            assignment.host, assignment.port = self._host, self._listener.port
            assignment.front_name = self._authority.front_name
            assignment.authority = self._authority.pem
            assignment.certificate, assignment.key = identity.certificate, identity.key
        return assignment

    async def _reap(self, link: HostedLink, placement: Placement, secret: str) -> None:
        """Follow a worker to its end, whichever of its connections and its place ends first."""
        try:
            await asyncio.wait((link.closed, placement.ended), return_when=asyncio.FIRST_COMPLETED)
            if not placement.ended.done():
                await asyncio.wait((placement.ended,), timeout=_LEAVE_S)
                if not placement.ended.done():
                    placement.kill()
            else:
                link.on_exit(placement.ended.result())
                await asyncio.wait((link.closed,), timeout=1)
                link.kill(placement.ended.result())
        except Exception as error:
            faults.note("reaper", error, *link.model)
            link.close(f"unexpected error at its end: {error}")
        finally:
            self._local.socket.forget(secret)


async def _wait_for(
    future: asyncio.Future[Any], link: HostedLink, timeout_s: float | None, what: str
) -> None:
    """Raises LaunchFailed where the worker ends before, or `timeout_s` is over; it is killed then."""
    await asyncio.wait(
        (future, link.closed), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
    )
    if link.closed.done():
        raise LaunchFailed(f"worker ended before it was up: {await link.end_reason()}")
    if not future.done():
        link.kill(f"not {what} in time")
        told = f": {link.waiting_reason}" if link.waiting_reason else ""
        raise LaunchFailed(f"{timeout_s:g} seconds were over before {what}{told}")


def _pattern(pattern: Any) -> str:
    return "" if pattern is None else str(pattern.pattern)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
