"""Workers as processes of this machine."""

from __future__ import annotations

import asyncio
import glob
import logging
import os
import secrets
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from mms import faults
from mms.launch.connection import Link, WorkerConnection
from mms.launch.environment import SECRET_VARIABLE, worker_command
from mms.launch.heartbeat import Heartbeats
from mms.launch.interface import (
    LaunchFailed,
    LinkListener,
    WorkerLink,
    WorkerSpec,
    server_home,
)
from mms.wire import Fork, Loaded, ProtocolError, Readiness

logger = logging.getLogger("mms.launch")

#: A line of output is passed on at this length at the latest, so that an endless line does not pile up.
_LINE_BYTES = 32 * 1024
_STREAMS = {1: "stdout", 2: "stderr"}


class WorkerProcess(asyncio.SubprocessProtocol):
    """Watches one process: its output by lines, its end."""

    def __init__(self, listener: LinkListener, *, is_parent: bool = False) -> None:
        self._listener = listener
        self._is_parent = is_parent
        self._rest = {1: b"", 2: b""}
        self.transport: asyncio.SubprocessTransport | None = None
        self.exited: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        lines = (self._rest[fd] + data).split(b"\n")
        rest = lines.pop()
        while len(rest) > _LINE_BYTES:
            lines.append(rest[:_LINE_BYTES])
            rest = rest[_LINE_BYTES:]
        self._rest[fd] = rest
        for line in lines:
            self._listener.on_output(_STREAMS[fd], line.decode("utf-8", "replace").rstrip("\r"))

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        rest = self._rest.get(fd, b"")
        if rest:
            self._rest[fd] = b""
            self._listener.on_output(_STREAMS[fd], rest.decode("utf-8", "replace"))

    def process_exited(self) -> None:
        if self.transport is not None and not self.exited.done():
            self.exited.set_result(describe_exit(self.transport.get_returncode()))

    def kill(self) -> None:
        """SIGKILL to the process and to what it started; not to the workers that a parent forked."""
        if self.transport is None or self.exited.done():
            return
        kill_group(self.transport.get_pid(), has_descendants=not self._is_parent)


def describe_exit(code: int | None) -> str:
    """An exit status in words."""
    if code is None:
        return "ended"
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def kill_group(pid: int, *, has_descendants: bool = True) -> None:
    """SIGKILL to a process, to its group where it leads one, and to what it started in groups of their own."""
    descendants = list(_descendants(pid)) if has_descendants else []
    try:
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    for descendant in descendants:
        try:
            os.kill(descendant, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


def _descendants(pid: int) -> Iterator[int]:
    """Where the kernel tells: Linux with `CONFIG_PROC_CHILDREN`, which distributions have."""
    for path in glob.glob(f"/proc/{pid}/task/*/children"):
        try:
            with open(path, encoding="ascii") as file:
                children = [int(word) for word in file.read().split()]
        except OSError:
            continue
        for child in children:
            yield child
            yield from _descendants(child)


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
        raise ProtocolError("a parent of workers has no requests to tell of")

    def on_readiness(self, readiness: Readiness) -> None:
        # Only what serves loads on.
        raise ProtocolError("a parent of workers has no readiness to tell of")

    def on_call(self, sequence: int, payload: bytes | bytearray) -> None:
        raise ProtocolError("a parent of workers calls no models")

    def on_output(self, stream: str, text: str) -> None:
        self._listener.on_output(stream, text)


class ProcessLauncher:
    """Starts each worker as a child of the front, which dials in to a Unix socket of the front.

    Owns the socket, the processes, and one loaded parent for each key whose workers are forked.
    """

    def __init__(
        self,
        runtime_dir: Path,
        hello_timeout_s: float = 60.0,
        heartbeat_timeout_s: float = 0.0,
        worker_gid: int | None = None,
        restore_folder: Callable[[], None] | None = None,
    ) -> None:
        """`worker_gid`: the group of workers that do not run as this process's user.

        `restore_folder`: makes `runtime_dir` again where something has removed it.
        """
        self._path = runtime_dir / "front.sock"
        self._hello_timeout_s = hello_timeout_s
        self._server: asyncio.AbstractServer | None = None
        self._links: dict[str, Link] = {}
        self._parents: dict[str, asyncio.Task[tuple[Link, Loaded]]] = {}
        self._reapers: set[asyncio.Task[None]] = set()
        self._processes: set[WorkerProcess] = set()
        self._worker_gid = worker_gid
        self._heartbeats = Heartbeats(heartbeat_timeout_s)
        self._restore_folder = restore_folder
        self._listening = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<ProcessLauncher {self._path}, {len(self._processes)} processes>"

    @property
    def address(self) -> str:
        return f"unix:{self._path}"

    async def start(self) -> None:
        """Listen for workers."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(
            lambda: WorkerConnection(self._links.get, self._hello_timeout_s), str(self._path)
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
            link = await self._spawn(spec, listener, timeout_s, is_parent=False)
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
            link, _ = await task
        except (asyncio.CancelledError, LaunchFailed):
            return
        link.kill("model unregistered")

    async def close(self) -> None:
        for key in list(self._parents):
            await self.forget(key)
        self._heartbeats.close()
        if self._server is not None:
            self._server.close()
        for process in list(self._processes):
            process.kill()
        if self._reapers:
            await asyncio.wait(self._reapers, timeout=5)
        self._path.unlink(missing_ok=True)

    async def _spawn(
        self, spec: WorkerSpec, listener: LinkListener, timeout_s: float, *, is_parent: bool
    ) -> Link:
        loop = asyncio.get_running_loop()
        command = worker_command(spec.runtime, self.address, spec.name, is_parent=is_parent)
        secret = secrets.token_hex(16)
        link = Link(spec.name, spec.load, listener, spec.max_frame_bytes)
        self._links[secret] = link
        try:
            _, process = await loop.subprocess_exec(
                lambda: WorkerProcess(listener, is_parent=is_parent),
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                cwd=server_home(),
                env={**spec.environment, SECRET_VARIABLE: secret},
                start_new_session=True,
            )
        except OSError as error:
            del self._links[secret]
            raise LaunchFailed(f"cannot start {command[0]}: {error.strerror}") from None
        link.end_process = process.kill
        self._processes.add(process)
        reaper = loop.create_task(self._reap(link, process, secret))
        self._reapers.add(reaper)
        reaper.add_done_callback(self._reapers.discard)
        await self._connected(link, timeout_s)
        return link

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
            raise LaunchFailed(f"worker ended before it was up: {link.closed.result()}")
        if not link.connected.done():
            link.kill("did not come up")
            raise LaunchFailed(f"worker was not up within {timeout_s:g} seconds")

    async def _reap(self, link: Link, process: WorkerProcess, secret: str) -> None:
        """Follow one process to its end, whichever of process and connection ends first."""
        try:
            await asyncio.wait((link.closed, process.exited), return_when=asyncio.FIRST_COMPLETED)
            if not process.exited.done():
                # It closed its connection; it may still be on its way out.
                await asyncio.wait((process.exited,), timeout=1)
                process.kill()
                await process.exited
            link.on_exit(process.exited.result())
            await asyncio.wait((link.closed,), timeout=1)
            link.close(process.exited.result())
            if link.pid:
                _kill_left_group(link.pid)
        except Exception as error:
            faults.note("reaper", error, *link.model)
            link.close(f"unexpected error at its end: {error}")
        finally:
            self._links.pop(secret, None)
            self._processes.discard(process)
            if process.transport is not None:
                process.transport.close()

    async def _fork(self, spec: WorkerSpec, listener: LinkListener, timeout_s: float) -> Link:
        task = self._parents.get(spec.key)
        if task is None or _has_failed(task):
            task = asyncio.get_running_loop().create_task(
                self._start_parent(spec, listener, timeout_s)
            )
            self._parents[spec.key] = task
        parent, loaded = await asyncio.shield(task)
        link = Link(spec.name, spec.load, listener, spec.max_frame_bytes, is_preloaded=True)
        if loaded.code != 200:
            link.loaded.set_result(loaded)
            return link
        secret = secrets.token_hex(16)
        self._links[secret] = link
        link.closed.add_done_callback(lambda _: self._links.pop(secret, None))
        link.end_process = lambda: _kill_forked(link)

        def on_parent_closed(_: object) -> None:
            if not link.connected.done():
                link.close("its parent ended")

        parent.closed.add_done_callback(on_parent_closed)
        parent.fork(Fork(secret, spec.name, spec.load.gpu_id))
        try:
            await self._connected(link, timeout_s)
        except LaunchFailed:
            # It would not fork the next one either. Its other workers stay.
            parent.kill("forks no more")
            raise
        return link

    async def _start_parent(
        self, spec: WorkerSpec, listener: LinkListener, timeout_s: float
    ) -> tuple[Link, Loaded]:
        link = await self._spawn(spec, _ParentListener(listener), timeout_s, is_parent=True)
        try:
            loaded = await link.load(spec.load_timeout_s)
        except BaseException:
            # Too late, or nobody waits for it any more; nobody else has its link.
            link.kill("model did not load")
            raise
        if loaded.code != 200:
            link.kill("model did not load")
        return link, loaded


def _has_failed(task: asyncio.Task[tuple[Link, Loaded]]) -> bool:
    """Whether a parent never came up or is gone."""
    if not task.done():
        return False
    if task.cancelled() or task.exception() is not None:
        return True
    link, loaded = task.result()
    return link.closed.done() or loaded.code != 200


def _kill_forked(link: Link) -> None:
    # The kernel reaps forked workers through their parent, and their number may be given away again: only while the
    # connection stands is it surely theirs.
    if link.pid and not link.closed.done():
        kill_group(link.pid)


def _kill_left_group(pid: int) -> None:
    """End what a worker that is gone has left running in its group."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
