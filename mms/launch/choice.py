"""The launchers of a server, one of which each worker is started by."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mms.launch.connection import Link
from mms.launch.interface import LinkListener, WorkerLink, WorkerSpec
from mms.launch.nodes.peers import Lenders, PeerLauncher
from mms.launch.process import ProcessLauncher
from mms.launch.ray.launcher import RayLauncher, RayOptions
from mms.machine.runtime_dir import RuntimeDir

if TYPE_CHECKING:
    from mms.settings import Settings

_RAY = "ray"
#: The launcher of workers that another front of a cluster lends. No setting has it: shares decide.
PEER: Final = "peer"


class Launchers:
    """Gives each worker to the launcher that its model asks for."""

    def __init__(self, local: ProcessLauncher, ray: RayLauncher, default: str) -> None:
        """`default`: the one that models have which ask for none."""
        self._local = local
        self._ray = ray
        self._default = default
        #: Of workers that other fronts lend; None outside a cluster.
        self._peers: PeerLauncher | None = None

    def __repr__(self) -> str:
        return f"<Launchers {self._local!r}, {self._ray!r}>"

    @classmethod
    def of_settings(
        cls, settings: Settings, runtime_dir: RuntimeDir, never_preloaded: Collection[str]
    ) -> Launchers:
        """Return those that the settings say. `never_preloaded`: packages that fork servers do not import."""
        local = ProcessLauncher(
            runtime_dir.path,
            heartbeat_timeout_s=0 if settings.debug else settings.worker_heartbeat_timeout_s,
            worker_gid=None if settings.worker_user is None else settings.worker_user.gid,
            restore_folder=runtime_dir.restore,
            has_fork_servers=settings.fork_server,
            preload_modules=settings.preload_modules or (),
            never_preloaded=never_preloaded,
            start_timeout_s=settings.worker_start_timeout_s,
        )
        options = RayOptions(
            address=settings.ray_address,
            listen=settings.worker_address,
            ca_certificate=_path(settings.worker_ca_certificate),
            ca_key=_path(settings.worker_ca_key),
            wait_s=settings.ray_wait_s,
            silence_s=settings.node_timeout_s,
        )
        return cls(local, RayLauncher(options, local), settings.launcher)

    def borrow_of(self, lenders: Lenders) -> None:
        """Have other fronts of a cluster lend the workers whose launcher is `peer`."""
        self._peers = PeerLauncher(lenders, self)

    async def start(self) -> None:
        """Listen for workers. Raises ConfigurationError where Ray is to start them and there is none."""
        await self._local.start()
        if self._default == _RAY:
            await self._ray.start()

    async def launch(
        self, spec: WorkerSpec, listener: LinkListener, timeout_s: float
    ) -> WorkerLink:
        """Start a worker and return when it can be reached. Raises LaunchFailed."""
        if spec.launcher == PEER and self._peers is not None:
            return await self._peers.launch(spec, listener, timeout_s)
        if spec.launcher == _RAY:
            return await self._ray.launch(spec, listener, timeout_s)
        return await self._local.launch(spec, listener, timeout_s)

    async def expect(self, spec: WorkerSpec, secret: str, link: Link) -> dict[str, Any]:
        """Have connections that say a secret be a link's. Returns what is told to who dials in. Raises LaunchFailed."""
        assignment = await self._ray.assignment(spec, secret)
        self._local.socket.expect(secret, link)
        return assignment.to_members()

    def unexpect(self, secret: str) -> None:
        """Take no more connections that say it."""
        self._local.socket.forget(secret)

    def watch_over(self, link: Link) -> None:
        """Have a worker that answers no heartbeats ended."""
        self._local.heartbeats.watch(link)

    def process_ids(self) -> list[int]:
        return [*self._local.process_ids(), *self._ray.process_ids()]

    async def forget(self, key: str) -> None:
        await self._ray.forget(key)
        await self._local.forget(key)

    async def close(self) -> None:
        # What it started goes by the local one's supervisor.
        await self._ray.close()
        await self._local.close()


def _path(text: str) -> Path | None:
    return Path(text) if text else None
