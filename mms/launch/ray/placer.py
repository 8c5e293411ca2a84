"""The front's side of the process that talks to Ray."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mms import faults
from mms.launch.environment import OWN_VARIABLES
from mms.launch.interface import LaunchFailed, server_home
from mms.launch.message_channel import MessageChannel
from mms.launch.supervisor import SupervisedProcess, Supervisor

logger = logging.getLogger("mms.launch")

#: Like `python -m`, which would put the current folder first.
_START = (
    "import sys; sys.path[:] = [p for p in sys.path if p] + [sys.argv.pop(1)]; "
    "from mms.launch.ray.placer_process import run; run()"
)
#: Joining a cluster that answers nothing, or starting one, in seconds.
_CONNECT_S = 90.0
#: What the process gets to leave the cluster, in seconds.
_FAREWELL_S = 3.0
_LOST = "the connection to Ray is lost"


class Placement:
    """One worker's place in the cluster. `ended` is done, with the reason, when it has none any more."""

    def __init__(self, placer: RayPlacer, number: int, on_waiting: Callable[[str], None]) -> None:
        self._placer = placer
        self.number = number
        self.on_waiting = on_waiting
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def __repr__(self) -> str:
        return f"<Placement {self.number}>"

    def note_placed(self) -> None:
        """It has its node: nothing is to be said of what it waits for."""
        self.on_waiting = lambda reason: None
        self._placer.send({"placed": self.number})

    def kill(self) -> None:
        """End what Ray has started, or is to start, for it."""
        self._placer.send({"kill": self.number})

    def end(self, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_result(reason)


class RayPlacer:
    """Owned by the event loop. Its process is started when it is needed, and anew where it has ended."""

    def __init__(self, supervisor: Supervisor, options: Mapping[str, Any]) -> None:
        """`options`: of `ray.init`."""
        self._supervisor = supervisor
        self._options = options
        self._numbers = itertools.count(1)
        self._placements: dict[int, Placement] = {}
        self._process: SupervisedProcess | None = None
        self._channel: MessageChannel | None = None
        #: Done with the address of this node in its cluster.
        self._connected: asyncio.Future[str] | None = None
        self._connecting = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<RayPlacer of {len(self._placements)} workers>"

    @property
    def pid(self) -> int:
        """Of its keeper; 0 where there is no process."""
        return 0 if self._process is None else self._process.pid

    async def connect(self) -> str:
        """Return the address of this node in its cluster; joins it where that is not done. Raises LaunchFailed."""
        async with self._connecting:
            if self._connected is None:
                self._connected = asyncio.get_running_loop().create_future()
                await self._start()
            connected = self._connected
            await asyncio.wait((connected,), timeout=_CONNECT_S)
            if not connected.done():
                self._lose(f"no answer of the cluster within {_CONNECT_S:g} seconds")
            return await connected

    async def _start(self) -> None:
        own_end, its_end = socket.socketpair()
        environment = {k: v for k, v in os.environ.items() if k not in OWN_VARIABLES}
        environment["PYTHONUNBUFFERED"] = "1"
        try:
            with its_end:
                process = await self._supervisor.start(
                    [sys.executable, "-c", _START, str(server_home())],
                    environment,
                    Path("/"),
                    lambda stream, line: logger.info("Ray: %s", line),
                    is_parent=False,
                    on_numbered=lambda process: None,
                    input_end=its_end,
                )
        except OSError as error:
            own_end.close()
            self._connected = None
            raise LaunchFailed(f"the process for Ray cannot be started: {error}") from None
        self._process = process
        self._channel = MessageChannel(own_end, self._take, self._on_lost)
        process.ended.add_done_callback(lambda _: self._on_lost())
        self.send({"connect": dict(self._options)})

    def place(self, message: Mapping[str, Any], on_waiting: Callable[[str], None]) -> Placement:
        """Have Ray find a node for a worker. `message`: the members of `place` but its number."""
        placement = Placement(self, next(self._numbers), on_waiting)
        if self._channel is None:
            placement.end(_LOST)
            return placement
        self._placements[placement.number] = placement
        self.send({**message, "place": placement.number})
        return placement

    def send(self, message: Mapping[str, Any]) -> None:
        if self._channel is not None:
            self._channel.send(message)

    def forget(self, key: str) -> None:
        """No more workers of this key come."""
        self.send({"forget": key})

    async def close(self) -> None:
        """End the process, and with it all that Ray runs for this server."""
        process = self._process
        self._lose("the server ends")
        if process is not None:
            await asyncio.wait((process.ended,), timeout=_FAREWELL_S)

    def _take(self, message: dict[str, Any]) -> None:
        connected = self._connected
        if "connected" in message:
            if connected is not None and not connected.done():
                connected.set_result(str(message["connected"]["address"]))
        elif "failed" in message:
            self._lose(str(message["failed"]))
        elif "waiting" in message:
            placement = self._placements.get(message["waiting"])
            if placement is not None:
                placement.on_waiting(str(message["reason"]))
        elif "ended" in message:
            placement = self._placements.pop(message["ended"], None)
            if placement is not None:
                placement.end(str(message["reason"]))

    @faults.contained("ray")
    def _on_lost(self) -> None:
        if self._channel is not None:
            logger.error("%s: workers that it has placed are replaced.", _LOST.capitalize())
        self._lose(_LOST)

    def _lose(self, reason: str) -> None:
        """Give the process up. The next worker has another one started."""
        channel, self._channel = self._channel, None
        process, self._process = self._process, None
        connected, self._connected = self._connected, None
        if channel is not None:
            channel.close()
        if connected is not None and not connected.done():
            connected.set_exception(LaunchFailed(f"Ray: {reason}"))
            # Somebody may have given up waiting.
            connected.exception()
        placements, self._placements = self._placements, {}
        for placement in placements.values():
            placement.end(reason)
        if process is not None and not process.ended.done():
            # It gets a moment to say farewell to the cluster.
            loop = asyncio.get_running_loop()
            loop.call_later(_FAREWELL_S, _end, process)


@faults.contained("ray")
def _end(process: SupervisedProcess) -> None:
    process.kill()
