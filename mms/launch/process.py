"""Workers as processes of this machine."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mms import faults
from mms.launch.connection import (
    PARENT_ROLES,
    WORKER_ROLES,
    Link,
    PendingConnections,
    WorkerConnection,
)
from mms.launch.environment import SECRET_VARIABLE, worker_command
from mms.launch.heartbeat import Heartbeats
from mms.launch.interface import (
    LaunchFailed,
    LinkListener,
    WorkerLink,
    WorkerSpec,
)
from mms.launch.supervisor import SupervisedProcess, Supervisor
from mms.processes.tree import is_below
from mms.wire import Fork, Loaded, ProtocolError, Readiness

logger = logging.getLogger("mms.launch")

#: What a worker that has closed its connection gets to end by itself, in seconds.
_LEAVE_S = 1.0
#: Where workers start. They go to their model's folder themselves.
_FOLDER = Path("/")


class _ParentListener:
    """What a parent of forked workers says goes to the listener of the worker that it was started for."""

    def __init__(self, listener: LinkListener) -> None:
        self._listener = listener

    def on_result(self, *_: object) -> None:
        return

    def on_read(self) -> None:
        return

    def on_metrics(self, lines: list[str]) -> None:
        self._listener.on_metrics(lines)

    def on_series(self, series: list[dict[str, Any]]) -> None:
        self._listener.on_series(series)

    def on_records(self, stream: int, records: list[bytes]) -> None:
        raise ProtocolError("a parent of workers sends no records of requests")

    def on_readiness(self, readiness: Readiness) -> None:
        # Only what serves loads on.
        raise ProtocolError("a parent of workers sends no readiness")

    def on_call(self, sequence: int, payload: bytes | bytearray) -> None:
        raise ProtocolError("a parent of workers calls no models")

    def on_output(self, stream: str, text: str) -> None:
        self._listener.on_output(stream, text)


@dataclass(frozen=True, slots=True)
class _Parent:
    """A process that workers are forked from, and how its load went."""

    link: Link
    process: SupervisedProcess
    loaded: Loaded


class ProcessLauncher:
    """Starts each worker as a child of the front, which dials in to a Unix socket of the front.

    Owns the socket, the processes, and one loaded parent for each key whose workers are forked.
    """

    def __init__(
        self,
        runtime_dir: Path,
        hello_timeout_s: float = 10.0,
        heartbeat_timeout_s: float = 0.0,
        worker_gid: int | None = None,
        restore_folder: Callable[[], None] | None = None,
    ) -> None:
        """`hello_timeout_s`: for a connection to say whose it is, which workers do at once.

        `worker_gid`: the group of workers that do not run as this process's user.

        `restore_folder`: makes `runtime_dir` again where something has removed it.
        """
        self._path = runtime_dir / "front.sock"
        self._pending = PendingConnections(hello_timeout_s)
        self._server: asyncio.AbstractServer | None = None
        self._links: dict[str, Link] = {}
        self._parents: dict[str, asyncio.Task[_Parent]] = {}
        self._reapers: set[asyncio.Task[None]] = set()
        self._supervisor = Supervisor()
        self._worker_gid = worker_gid
        self._heartbeats = Heartbeats(heartbeat_timeout_s)
        self._restore_folder = restore_folder
        self._listening = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<ProcessLauncher {self._path}, {self._supervisor!r}>"

    @property
    def address(self) -> str:
        return f"unix:{self._path}"

    async def start(self) -> None:
        """Listen for workers."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(
            lambda: WorkerConnection(self._links.get, self._pending), str(self._path)
        )
        os.chmod(self._path, 0o600)
        if self._worker_gid is not None:
            # Forked workers dial in as who they are. The secret is what lets them in.
            for path, mode in ((self._path.parent, 0o710), (self._path, 0o660)):
                os.chown(path, -1, self._worker_gid)
                os.chmod(path, mode)

    async def launch(
        self, spec: WorkerSpec, listener: LinkListener, timeout_s: float
    ) -> WorkerLink:
        """Start a worker and return when it has dialled in. Raises LaunchFailed."""
        await self._ensure_listening()
        if spec.preload:
            link = await self._fork(spec, listener, timeout_s)
        else:
            link, _ = await self._spawn(spec, listener, timeout_s, is_parent=False)
        # Loads have a time limit of their own.
        link.loaded.add_done_callback(lambda _: self._heartbeats.watch(link))
        return link

    async def _ensure_listening(self) -> None:
        """Listen anew where the socket is gone: temp folders are cleaned. Workers that have dialled in stay."""
        async with self._listening:
            if self._path.exists():
                return
            try:
                if self._server is not None:
                    self._server.close()
                if self._restore_folder is not None:
                    self._restore_folder()
                await self.start()
            except OSError as error:
                raise LaunchFailed(
                    f"{self._path}, where workers dial in, is gone and cannot be made again: {error.strerror or error}"
                ) from None

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
        self._heartbeats.close()
        if self._server is not None:
            self._server.close()
        await self._supervisor.close()
        if self._reapers:
            await asyncio.wait(self._reapers, timeout=5)
        self._path.unlink(missing_ok=True)

    async def _spawn(
        self, spec: WorkerSpec, listener: LinkListener, timeout_s: float, *, is_parent: bool
    ) -> tuple[Link, SupervisedProcess]:
        command = worker_command(spec.runtime, self.address, spec.name, is_parent=is_parent)
        secret = secrets.token_hex(16)
        link = Link(
            spec.name,
            spec.load,
            listener,
            spec.max_frame_bytes,
            PARENT_ROLES if is_parent else WORKER_ROLES,
            turns=self._supervisor.turns,
        )

        def on_numbered(process: SupervisedProcess) -> None:
            link.end_process = process.kill
            # Until it is known which process was started it is one of the supervisor's, which has nobody else's.
            link.is_own_process = lambda pid: is_below(pid, process.pid or self._supervisor.pid)
            self._links[secret] = link
            reaper = asyncio.get_running_loop().create_task(self._reap(link, process, secret))
            self._reapers.add(reaper)
            reaper.add_done_callback(self._reapers.discard)

        try:
            process = await self._supervisor.start(
                command,
                {**spec.environment, SECRET_VARIABLE: secret},
                _FOLDER,
                listener.on_output,
                is_parent=is_parent,
                on_numbered=on_numbered,
            )
        except OSError as error:
            raise LaunchFailed(f"cannot start {command[0]}: {error}") from None
        except asyncio.CancelledError:
            link.kill("start given up")
            raise
        await self._connected(link, timeout_s)
        return link, process

    async def _connected(self, link: Link, timeout_s: float) -> None:
        try:
            await asyncio.wait(
                (link.connected, link.closed),
                timeout=timeout_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
        except asyncio.CancelledError:
            link.kill("start given up")
            raise
        if link.closed.done():
            reason = await link.end_reason()
            raise LaunchFailed(f"worker ended before it was up: {reason}")
        if not link.connected.done():
            link.kill("did not come up")
            raise LaunchFailed(f"worker was not up within {timeout_s:g} seconds")

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
            self._links.pop(secret, None)

    async def _fork(self, spec: WorkerSpec, listener: LinkListener, timeout_s: float) -> Link:
        task = self._parents.get(spec.key)
        if task is None or _has_failed(task):
            task = asyncio.get_running_loop().create_task(
                self._start_parent(spec, listener, timeout_s)
            )
            self._parents[spec.key] = task
        parent = await asyncio.shield(task)
        link = Link(
            spec.name,
            spec.load,
            listener,
            spec.max_frame_bytes,
            is_preloaded=True,
            turns=self._supervisor.turns,
        )
        if parent.loaded.code != 200:
            link.loaded.set_result(parent.loaded)
            return link
        secret = secrets.token_hex(16)
        self._links[secret] = link
        link.is_own_process = lambda pid: is_below(pid, parent.process.pid)
        link.on_process_known = lambda: self._keep_fork(link, parent)
        link.closed.add_done_callback(lambda _: self._links.pop(secret, None))

        def on_parent_closed(_: object) -> None:
            if not link.connected.done():
                link.close("its parent ended")

        parent.link.closed.add_done_callback(on_parent_closed)
        parent.link.fork(Fork(secret, spec.name, spec.load.gpu_id))
        try:
            await self._connected(link, timeout_s)
        except LaunchFailed:
            # It would not fork the next one either. Its other workers stay.
            parent.link.kill("forks no more")
            raise
        return link

    def _keep_fork(self, link: Link, parent: _Parent) -> None:
        """The process of a forked worker is known now: it is the supervisor's to end."""
        supervisor = self._supervisor
        loop = asyncio.get_running_loop()

        def on_ended() -> None:
            # Its last words may still come.
            loop.call_later(_LEAVE_S, link.kill, "its process ended")
            link.on_exit("its process ended")

        number = supervisor.keep(link.pid, parent.process, on_ended)
        link.end_process = partial(supervisor.kill, number)

        def on_closed(_: object) -> None:
            # It may still be on its way out.
            loop.call_later(_LEAVE_S, supervisor.kill, number)

        link.closed.add_done_callback(on_closed)

    async def _start_parent(
        self, spec: WorkerSpec, listener: LinkListener, timeout_s: float
    ) -> _Parent:
        link, process = await self._spawn(
            spec, _ParentListener(listener), timeout_s, is_parent=True
        )
        try:
            loaded = await link.load(spec.load_timeout_s)
        except BaseException:
            # Too late, or nobody waits for it any more; nobody else has its link.
            link.kill("model did not load")
            raise
        if loaded.code != 200:
            link.kill("model did not load")
        return _Parent(link, process, loaded)


def _has_failed(task: asyncio.Task[_Parent]) -> bool:
    """Whether a parent never came up or is gone."""
    if not task.done():
        return False
    if task.cancelled() or task.exception() is not None:
        return True
    parent = task.result()
    return parent.link.closed.done() or parent.loaded.code != 200
