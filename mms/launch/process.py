"""Workers as processes of this machine."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mms import faults
from mms.launch.accepting import WorkerSocket
from mms.launch.connection import (
    PARENT_ROLES,
    WORKER_ROLES,
    Link,
)
from mms.launch.environment import SECRET_VARIABLE, worker_command
from mms.launch.fork_servers import ForkServers
from mms.launch.forks import Forks
from mms.launch.heartbeat import Heartbeats
from mms.launch.interface import (
    LaunchFailed,
    LinkListener,
    WorkerLink,
    WorkerSpec,
)
from mms.launch.supervisor import SupervisedProcess, Supervisor
from mms.machine.memory import OomKills
from mms.processes.tree import is_below
from mms.wire import Loaded, ProtocolError, Readiness

logger = logging.getLogger("mms.launch")

#: What a worker that has closed its connection gets to end by itself, in seconds.
_LEAVE_S = 1.0
#: Where workers start. They go to their model's folder themselves.
_FOLDER = Path("/")
#: How often a worker is forked whose fork server ends meanwhile. Then it is started by itself.
_MOST_FORKS = 2
#: How long a fork server may say nothing while a fork is asked for, in seconds; a fork takes milliseconds.
_FORK_S = 8.0


class _ForkFailed(LaunchFailed):
    """No process was forked. Another try may succeed, and a process that starts by itself needs no fork server."""


class _ParentListener:
    """What a parent of forked workers says goes to the listener of the worker that it was started for."""

    def __init__(self, listener: LinkListener) -> None:
        self._listener = listener

    def on_result(self, *_: object) -> None:
        return

    def on_chunks(self, *_: object) -> None:
        return

    def on_read(self) -> None:
        return

    def on_metrics(self, lines: list[str]) -> None:
        self._listener.on_metrics(lines)

    def on_series(self, series: list[dict[str, Any]]) -> None:
        self._listener.on_series(series)

    def on_records(self, stream: int, records: list[bytes]) -> None:
        raise ProtocolError("a parent of workers sends no records of requests")

    def on_imported(self) -> None:
        self._listener.on_imported()

    def on_readiness(self, readiness: Readiness) -> None:
        # Only what serves loads on.
        raise ProtocolError("a parent of workers sends no readiness")

    def on_call(self, sequence: int, payload: bytes | bytearray) -> None:
        raise ProtocolError("a parent of workers calls no models")

    def on_output(self, stream: str, text: str) -> None:
        self._listener.on_output(stream, text)

    def on_waiting(self, reason: str) -> None:
        self._listener.on_waiting(reason)


@dataclass(frozen=True, slots=True)
class _Parent:
    """A process that workers are forked from, and how its load went."""

    link: Link
    forks: Forks
    loaded: Loaded


class ProcessLauncher:
    """Starts each worker as a process that dials in to a Unix socket of the front.

    Owns the socket, the processes, the fork servers, and one loaded parent for each key with `preload`.
    """

    def __init__(
        self,
        runtime_dir: Path,
        hello_timeout_s: float = 10.0,
        heartbeat_timeout_s: float = 0.0,
        worker_gid: int | None = None,
        restore_folder: Callable[[], None] | None = None,
        *,
        has_fork_servers: bool = False,
        preload_modules: Sequence[str] = (),
        never_preloaded: Collection[str] = (),
        start_timeout_s: float = 60.0,
    ) -> None:
        """`hello_timeout_s`: for a connection to say whose it is, which workers do at once.

        `worker_gid`: the group of workers that do not run as this process's user.

        `restore_folder`: makes `runtime_dir` again where something has removed it.

        `preload_modules`: what fork servers import. `never_preloaded`: packages that they do not. `start_timeout_s`:
        for one to be up.
        """
        self.socket = WorkerSocket(
            runtime_dir / "front.sock", hello_timeout_s, worker_gid, restore_folder
        )
        self._parents: dict[str, asyncio.Task[_Parent]] = {}
        self._reapers: set[asyncio.Task[None]] = set()
        self.supervisor = Supervisor()
        self._oom_kills = OomKills()
        self._fork_servers = ForkServers(
            self.supervisor,
            preload_modules,
            never_preloaded,
            is_on=has_fork_servers,
            timeout_s=start_timeout_s,
        )
        self.heartbeats = Heartbeats(heartbeat_timeout_s)

    def __repr__(self) -> str:
        return f"<ProcessLauncher {self.socket.path}, {self.supervisor!r}>"

    @property
    def address(self) -> str:
        return self.socket.address

    async def start(self) -> None:
        """Listen for workers."""
        await self.socket.start()

    async def launch(
        self, spec: WorkerSpec, listener: LinkListener, timeout_s: float
    ) -> WorkerLink:
        """Start a worker and return when it has dialled in. Raises LaunchFailed."""
        await self.socket.ensure_listening()
        if spec.preload:
            link = await self._start_preloaded(spec, listener, timeout_s)
        else:
            link = await self._start_worker(spec, listener, timeout_s)
        # Loads have a time limit of their own.
        link.loaded.add_done_callback(lambda _: self.heartbeats.watch(link))
        return link

    def process_ids(self) -> list[int]:
        return self._fork_servers.process_ids()

    async def forget(self, key: str) -> None:
        task = self._parents.pop(key, None)
        if task is None:
            return
        task.cancel()
        try:
            parent = await task
        except (asyncio.CancelledError, LaunchFailed):
            return
        parent.link.kill("model unregistered")

    async def close(self) -> None:
        for key in list(self._parents):
            await self.forget(key)
        await self._fork_servers.close()
        self.heartbeats.close()
        self.socket.close()
        await self.supervisor.close()
        if self._reapers:
            await asyncio.wait(self._reapers, timeout=5)
        self.socket.path.unlink(missing_ok=True)

    async def _start_worker(
        self,
        spec: WorkerSpec,
        listener: LinkListener,
        timeout_s: float,
        parent_forks: Forks | None = None,
    ) -> Link:
        """Start a process that is to load the model: from a fork server, or where there is none by itself.

        `parent_forks`: the process is to be a parent of workers, with the other end of these.
        """
        spec.load.reports_imports = self._fork_servers.is_on
        link: Link | None = None
        for _ in range(_MOST_FORKS):
            server = await self._fork_servers.find(spec)
            if server is None:
                break
            try:
                link = await self._start(spec, listener, timeout_s, server.forks, parent_forks)
                break
            except _ForkFailed as error:
                logger.warning("Worker %s is started again: %s.", spec.name, error)
            except LaunchFailed:
                if not server.has_ended:
                    raise
                logger.info("Worker %s is started again: its fork server has ended.", spec.name)
        if link is None:
            link = await self._start(spec, listener, timeout_s, None, parent_forks)
        started = link
        link.loaded.add_done_callback(lambda _: self._note_load(spec, started))
        return link

    @faults.contained("fork servers")
    def _note_load(self, spec: WorkerSpec, link: Link) -> None:
        if not link.loaded.cancelled():
            self._fork_servers.learn(spec, link.loaded.result())

    async def _start(
        self,
        spec: WorkerSpec,
        listener: LinkListener,
        timeout_s: float,
        forks: Forks | None,
        parent_forks: Forks | None = None,
        *,
        is_preloaded: bool = False,
    ) -> Link:
        """Have a process forked or, with `forks` None, started, and wait until it has dialled in.

        `is_preloaded`: it is forked from one that has loaded the model.
        """
        is_parent = parent_forks is not None
        command = worker_command(spec.runtime, self.address, spec.name, is_parent=is_parent)
        secret = secrets.token_hex(16)
        environment = {**spec.environment, SECRET_VARIABLE: secret}
        link = Link(
            spec.name,
            spec.load,
            listener,
            spec.max_frame_bytes,
            PARENT_ROLES if is_parent else WORKER_ROLES,
            is_preloaded=is_preloaded,
            turns=self.supervisor.turns,
        )

        link.has_oom_kill = lambda: self._oom_kills.has_killed(time.monotonic())

        def on_numbered(process: SupervisedProcess) -> None:
            link.end_process = process.kill
            # Until it is known which process was started it is one of the supervisor's, which has nobody else's.
            link.is_own_process = lambda pid: is_below(pid, process.pid or self.supervisor.pid)
            self.socket.expect(secret, link)
            reaper = asyncio.get_running_loop().create_task(self._reap(link, process, secret))
            self._reapers.add(reaper)
            reaper.add_done_callback(self._reapers.discard)

        input_end = None if parent_forks is None else parent_forks.its_end
        try:
            if forks is None:
                process = await self.supervisor.start(
                    command,
                    environment,
                    _FOLDER,
                    listener.on_output,
                    is_parent=is_parent,
                    on_numbered=on_numbered,
                    input_end=input_end,
                )
            else:
                message: dict[str, Any] = {"command": command}
                if is_preloaded:
                    message |= {"secret": secret, "gpu_id": spec.load.gpu_id}
                else:
                    own = {k: v for k, v in environment.items() if k in spec.own_variables}
                    own[SECRET_VARIABLE] = secret
                    message |= {"variables": own, "folders": _folders(spec)}
                process = await forks.fork(
                    message,
                    listener.on_output,
                    on_numbered,
                    # A parent of workers may have a large model, whose page tables are copied.
                    timeout_s=timeout_s if is_preloaded else min(timeout_s, _FORK_S),
                    input_end=input_end,
                )
        except OSError as error:
            kind = LaunchFailed if forks is None else _ForkFailed
            raise kind(f"cannot start {command[0]}: {error}") from None
        except asyncio.CancelledError:
            link.kill("start given up")
            raise
        if parent_forks is not None:
            parent_forks.attach(process)
        await link.wait_connected(timeout_s)
        return link

    async def _reap(self, link: Link, process: SupervisedProcess, secret: str) -> None:
        """Follow one process to its end, whichever of process and connection ends first."""
        try:
            await asyncio.wait((link.closed, process.ended), return_when=asyncio.FIRST_COMPLETED)
            if not process.ended.done():
                # It closed its connection; it may still be on its way out.
                await asyncio.wait((process.ended,), timeout=_LEAVE_S)
                process.kill()
                await process.ended
            link.on_exit(process.ended.result())
            await asyncio.wait((link.closed,), timeout=1)
            link.kill(process.ended.result())
        except Exception as error:
            faults.note("reaper", error, *link.model)
            link.close(f"unexpected error at its end: {error}")
        finally:
            self.socket.forget(secret)

    async def _start_preloaded(
        self, spec: WorkerSpec, listener: LinkListener, timeout_s: float
    ) -> Link:
        """Fork a worker from the process that has loaded its model."""
        task = self._parents.get(spec.key)
        if task is None or _has_failed(task):
            task = asyncio.get_running_loop().create_task(
                self._start_parent(spec, listener, timeout_s)
            )
            self._parents[spec.key] = task
        parent = await asyncio.shield(task)
        if parent.loaded.code != 200:
            link = Link(spec.name, spec.load, listener, spec.max_frame_bytes, is_preloaded=True)
            link.loaded.set_result(parent.loaded)
            return link
        if parent.loaded.fork_problem:
            return await self._start_worker(spec, listener, timeout_s)
        try:
            return await self._start(spec, listener, timeout_s, parent.forks, is_preloaded=True)
        except LaunchFailed:
            # It would not fork the next one either. Its other workers stay.
            parent.link.kill("forks no more")
            raise

    async def _start_parent(
        self, spec: WorkerSpec, listener: LinkListener, timeout_s: float
    ) -> _Parent:
        forks = Forks(self.supervisor)
        try:
            link = await self._start_worker(spec, _ParentListener(listener), timeout_s, forks)
        except BaseException:
            forks.close()
            raise
        try:
            loaded = await link.load(spec.load_timeout_s)
        except BaseException:
            # Too late, or nobody waits for it any more; nobody else has its link.
            link.kill("model did not load")
            raise
        if loaded.code != 200:
            link.kill("model did not load")
        elif loaded.fork_problem:
            logger.warning(
                "Model %s: preload_model has no effect, each worker loads the model by itself. Once it has loaded, a "
                "process cannot be forked: %s.",
                *(spec.load.model_name, loaded.fork_problem),
            )
            link.kill("cannot be forked")
        return _Parent(link, forks, loaded)


def _has_failed(task: asyncio.Task[_Parent]) -> bool:
    """Return whether a parent never came up or is gone."""
    if not task.done():
        return False
    if task.cancelled() or task.exception() is not None:
        return True
    parent = task.result()
    if parent.loaded.fork_problem:
        return False
    return parent.link.closed.done() or parent.loaded.code != 200


def _folders(spec: WorkerSpec) -> list[str]:
    """Return where a worker finds modules of its model, and of what was installed for it alone."""
    folders = spec.load.code_folders
    return folders if spec.load.packages is None else [*folders, spec.load.packages]
