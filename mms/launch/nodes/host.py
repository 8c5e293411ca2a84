"""The host of a worker: fetches what the worker needs to a node, runs it there, and says how it does.

It lives as long as its connection to the front. Where that ends, the worker ends, and so does the host.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from mms import faults
from mms.launch.environment import SECRET_VARIABLE, worker_command, worker_environment
from mms.launch.interface import LaunchFailed
from mms.launch.nodes.assignment import Assignment, boot_id, own_variables
from mms.launch.nodes.authority import Identity, worker_context
from mms.launch.nodes.folders import InvalidFolder, NodeFolder, node_root, sweep
from mms.launch.nodes.relay import Relay, Route
from mms.launch.nodes.relocation import relocated
from mms.launch.supervisor import SupervisedProcess, Supervisor
from mms.machine.memory import resident_bytes
from mms.processes.activity import look_at
from mms.version import __version__
from mms.wire import HELLO, Hello, encode_frame
from mms.wire.frames import EXITED, HOSTED, USAGE
from mms.wire.hosts import Exited, Hosted, Usage, encode_output
from mms.wire.messages import ROLE_HOST

logger = logging.getLogger("mms.launch")

Fetch = Callable[[str], Iterable[bytes]]
"""Called with a SHA-256, in a thread; gives what was packed, in chunks."""

_Result = TypeVar("_Result")

#: How often the front is told what the worker uses, in seconds.
_USAGE_S = 1.0
#: What the worker's last frames get to be on their way, in seconds.
_DRAIN_S = 2.0
#: Output that the front does not take is dropped beyond it, in bytes.
_MOST_UNSENT_BYTES = 1 << 20
_FOLDER = Path("/")


class HostFailed(Exception):
    """A worker cannot run here. The message is one line for people."""


async def run_host(members: Mapping[str, Any], fetch: Fetch, node: str, gpu_id: int | None) -> str:
    """Run a worker to its end. Return why it has ended, in words.

    `members`: of an Assignment, of another version perhaps, which has others. `node`: the name of this node.
    """
    version = members.get("version")
    if version != __version__:
        return (
            f"node {node} has marserve {__version__}, the server has {version}: "
            f'pip install "marserve[ray]=={version}" there'
        )
    host = _Host(Assignment.of_members(members), fetch, node, gpu_id)
    try:
        return await host.run()
    finally:
        await host.close()


class _FrontConnection(asyncio.Protocol):
    """Written to; its end is the end of the host."""

    def __init__(self) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None

    @faults.ends_connection
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        # The front says nothing here.
        return

    @faults.ends_connection
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self.lost.done():
            self.lost.set_result(None)

    @property
    def unsent_bytes(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def send(self, frame: bytes) -> None:
        if self._transport is not None:
            self._transport.write(frame)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def finish(self) -> None:
        """Close once all is sent."""
        if self._transport is not None:
            self._transport.close()
            await asyncio.wait((self.lost,), timeout=_DRAIN_S)


class _Host:
    def __init__(self, assignment: Assignment, fetch: Fetch, node: str, gpu_id: int | None) -> None:
        self._assignment = assignment
        self._fetch = fetch
        self._node = node
        self._gpu_id = gpu_id
        self._front = _FrontConnection()
        self._supervisor = Supervisor()
        self._relay: Relay | None = None
        self._folders: list[NodeFolder] = []
        self._dropped_lines = 0

    def __repr__(self) -> str:
        return f"<Host of {self._assignment.name}>"

    async def run(self) -> str:
        a = self._assignment
        try:
            address = await self._dial()
        except (OSError, asyncio.TimeoutError) as error:
            return f"node {self._node} cannot reach the server at {a.host}:{a.port}: {error}"
        self._front.send(encode_frame(HELLO, 0, Hello(a.secret, ROLE_HOST).to_payload()))
        try:
            paths = await self._unless_lost(self._take_folders())
            process = await self._unless_lost(self._start(address, paths))
        except _FrontGone:
            return "the server is gone"
        except (HostFailed, LaunchFailed, InvalidFolder, OSError) as error:
            reason = f"on node {self._node}: {error}"
            self._front.send(encode_frame(EXITED, 0, Exited(reason).to_payload()))
            await self._front.finish()
            return reason
        usage = asyncio.get_running_loop().create_task(self._tell_usage(process))
        try:
            await asyncio.wait(
                (process.ended, self._front.lost), return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            usage.cancel()
        if not process.ended.done():
            process.kill()
            return "the server is gone"
        reason = process.ended.result()
        if self._relay is not None:
            # Its last answers come before the word of its end.
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._relay.is_drained.wait(), _DRAIN_S)
        self._front.send(encode_frame(EXITED, 0, Exited(reason).to_payload()))
        await self._front.finish()
        return reason

    async def close(self) -> None:
        self._front.abort()
        await self._supervisor.close()
        if self._relay is not None:
            self._relay.close()
        for folder in self._folders:
            folder.release()

    async def _dial(self) -> str:
        """Connect to the front. Return the address that the worker dials. Raises OSError."""
        a = self._assignment
        if a.local_socket and a.boot_id and a.boot_id == boot_id():
            with contextlib.suppress(OSError):
                loop = asyncio.get_running_loop()
                await loop.create_unix_connection(lambda: self._front, a.local_socket)
                return f"unix:{a.local_socket}"
        if not a.port:
            raise OSError("it runs on another machine, and listens for workers of this one alone")
        context = worker_context(a.authority, Identity(a.certificate, a.key))
        route = Route(a.host, a.port, context, a.front_name, a.silence_s)
        await route.dial(lambda: self._front)
        self._relay = Relay(route)
        await self._relay.start()
        return self._relay.address

    async def _unless_lost(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        task = asyncio.ensure_future(work)
        await asyncio.wait((task, self._front.lost), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))
            raise _FrontGone
        return task.result()

    async def _take_folders(self) -> dict[str, str]:
        """Have what the worker needs here. Return path of the front -> path here."""
        paths = await _in_thread(self._take_folders_now)
        return cast("dict[str, str]", paths)

    def _take_folders_now(self) -> dict[str, str]:
        digests = self._assignment.digests
        root = node_root()
        sweep(root)
        paths: dict[str, str] = {}
        for path, digest in digests.items():
            folder = NodeFolder(root, digest)
            fetch = _Fetched(self._fetch, digest)
            paths[path] = str(folder.take(fetch, Path(path).name))
            self._folders.append(folder)
        return paths

    async def _start(self, address: str, paths: dict[str, str]) -> SupervisedProcess:
        a = self._assignment
        told = Hosted(self._node, dict(paths), self._gpu_id)
        self._front.send(encode_frame(HOSTED, 0, told.to_payload()))
        environment = worker_environment(
            own_variables(os.environ) | relocated(a.variables, paths),
            handler=a.handler,
            model_dir=paths.get(a.model_dir, a.model_dir),
            decode_input_request=a.decode_input_request,
            hidden=re.compile(a.hidden_variables) if a.hidden_variables else None,
            allowed=re.compile(a.allowed_variables) if a.allowed_variables else None,
            packages=None if a.packages is None else paths.get(a.packages, a.packages),
        )
        command = worker_command(a.runtime, address, a.name, is_parent=False)
        return await self._supervisor.start(
            command,
            {**environment, SECRET_VARIABLE: a.secret},
            _FOLDER,
            self._on_output,
            is_parent=False,
            on_numbered=lambda process: None,
        )

    def _on_output(self, stream: str, line: str) -> None:
        if self._front.unsent_bytes > _MOST_UNSENT_BYTES:
            self._dropped_lines += 1
            return
        lines = [line]
        if self._dropped_lines:
            lines.insert(0, f"{self._dropped_lines} lines were dropped on the way from the node")
            self._dropped_lines = 0
        for frame in encode_output(stream, lines):
            self._front.send(frame)

    async def _tell_usage(self, process: SupervisedProcess) -> None:
        beat = 0
        while True:
            beat += 1
            with faults.contained("usage"):
                pid = _worker_below(process.pid)
                seen = look_at(pid, beat) if pid else None
                if seen is not None and not self._front.unsent_bytes:
                    usage = Usage(
                        seen.cpu_s, seen.major_faults, seen.is_at_work, resident_bytes(pid)
                    )
                    self._front.send(encode_frame(USAGE, 0, usage.to_payload()))
            await asyncio.sleep(_USAGE_S)


class _FrontGone(Exception):
    """The connection to the front has ended."""


class _Fetched:
    """What is fetched, with one error for whatever goes wrong on the way."""

    def __init__(self, fetch: Fetch, digest: str) -> None:
        self._fetch = fetch
        self._digest = digest

    def __call__(self) -> Iterator[bytes]:
        try:
            yield from self._fetch(self._digest)
        except Exception as error:
            raise HostFailed(
                f"the model's files cannot be fetched: {type(error).__name__}: {error}"
            ) from None


def _worker_below(keeper: int) -> int:
    """Return the process whose keeper this is; 0 where there is none."""
    try:
        children = Path(f"/proc/{keeper}/task/{keeper}/children").read_text("ascii").split()
    except OSError:
        return 0
    return int(children[0]) if children else 0


async def _in_thread(work: Callable[[], Any]) -> Any:
    """Do what may block for ever: the thread is left alone then, which no executor would do."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as raised:
            error = raised
        # The loop may have ended by now.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, daemon=True).start()
    return await done
