"""The front's side of the process that talks to Ray."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import secrets
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
#: Until the next attempt to join a cluster that is lost, in seconds; it doubles.
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_LOST = "the connection to Ray is lost"


class Placement:
    """One worker's place in the cluster. `ended` is done, with the reason, when it has none any more."""

    def __init__(
        self,
        placer: RayPlacer,
        number: int,
        message: Mapping[str, Any],
        on_waiting: Callable[[str], None],
    ) -> None:
        self._placer = placer
        #: Of its actor, whose name it is: no two actors of a server have the same.
        self.number = number
        #: What is asked of Ray, also of a process that comes after the first one; None: it has its node.
        self.message: Mapping[str, Any] | None = message
        self.on_waiting = on_waiting
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def __repr__(self) -> str:
        return f"<Placement {self.number}>"

    def note_placed(self) -> None:
        """It has its node: nothing is to be said of what it waits for."""
        self.on_waiting = lambda reason: None
        self.message = None
        self._placer.send({"placed": self.number})

    def kill(self) -> None:
        """End what Ray has started, or is to start, for it."""
        self._placer.give_up(self)

    def end(self, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_result(reason)


class RayPlacer:
    """Owned by the event loop. Its process is started when it is needed, and anew where it has ended.

    Actors do not end with the process: the next one finds those again that have their node, has those placed anew that
    have none, and ends all others.
    """

    def __init__(self, supervisor: Supervisor, options: Mapping[str, Any]) -> None:
        """`options`: of `ray.init`."""
        self._supervisor = supervisor
        #: Its namespace has the names of this server's actors, and no other's.
        self._options = {**options, "namespace": f"mms-{secrets.token_hex(8)}"}
        self._numbers = itertools.count(1)
        self._placements: dict[int, Placement] = {}
        self._process: SupervisedProcess | None = None
        self._channel: MessageChannel | None = None
        #: Done with the address of this node in its cluster.
        self._connected: asyncio.Future[str] | None = None
        self._connecting = asyncio.Lock()
        self._rejoining: asyncio.Task[None] | None = None
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<RayPlacer of {len(self._placements)} workers>"

    @property
    def pid(self) -> int:
        """Of its keeper; 0 where there is no process."""
        return 0 if self._process is None else self._process.pid

    async def connect(self) -> str:
        """Return the address of this node in its cluster; joins it where that is not done. Raises LaunchFailed."""
        async with self._connecting:
            if self._is_closed:
                raise LaunchFailed("the server ends")
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
        if self._is_closed:
            own_end.close()
            process.kill()
            raise LaunchFailed("the server ends")
        self._process = process
        self._channel = MessageChannel(own_end, self._take, lambda: self._on_lost(process))
        process.ended.add_done_callback(lambda _: self._on_lost(process))
        kept = [each.number for each in self._placements.values() if each.message is None]
        self.send({"connect": dict(self._options), "keep": kept})

    def place(self, message: Mapping[str, Any], on_waiting: Callable[[str], None]) -> Placement:
        """Have Ray find a node for a worker. `message`: the members of `place` but its number."""
        placement = Placement(self, next(self._numbers), message, on_waiting)
        if self._is_closed:
            placement.end("the server ends")
            return placement
        self._placements[placement.number] = placement
        if self._is_joined:
            self.send({**message, "place": placement.number})
        else:
            # The connection was lost while this worker waited for it, when nobody else had a use for another one.
            self._join_again()
        return placement

    @property
    def _is_joined(self) -> bool:
        connected = self._connected
        return connected is not None and connected.done() and connected.exception() is None

    def give_up(self, placement: Placement) -> None:
        """End what there is of a place, or is to be: by the process, or, where there is none, by the next one."""
        self.send({"kill": placement.number})
        if not self._is_joined:
            self._placements.pop(placement.number, None)
            placement.end("killed")

    def send(self, message: Mapping[str, Any]) -> None:
        if self._channel is not None:
            self._channel.send(message)

    def forget(self, key: str) -> None:
        """No more workers of this key come."""
        self.send({"forget": key})

    async def close(self) -> None:
        """End the process, and with it all that Ray runs for this server."""
        self._is_closed = True
        if self._rejoining is not None:
            self._rejoining.cancel()
        process = self._process
        self._lose("the server ends")
        placements, self._placements = self._placements, {}
        for placement in placements.values():
            placement.end("the server ends")
        if process is not None:
            await asyncio.wait((process.ended,), timeout=_FAREWELL_S)

    def _take(self, message: dict[str, Any]) -> None:
        connected = self._connected
        if "connected" in message:
            if connected is not None and not connected.done():
                connected.set_result(str(message["connected"]["address"]))
                self._place_again()
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

    def _place_again(self) -> None:
        """Have placed what had no node when a process ended. What that one had asked for is ended by now."""
        for placement in [each for each in self._placements.values() if each.message is not None]:
            del self._placements[placement.number]
            placement.number = next(self._numbers)
            self._placements[placement.number] = placement
            self.send({**(placement.message or {}), "place": placement.number})

    @faults.contained("ray")
    def _on_lost(self, process: SupervisedProcess) -> None:
        if process is self._process:
            logger.error("The connection to Ray is lost. Workers that have their node serve on.")
            self._lose(_LOST)

    def _lose(self, reason: str) -> None:
        """Give the process up. Another one is started at once where there are workers, else for the next worker."""
        channel, self._channel = self._channel, None
        process, self._process = self._process, None
        connected, self._connected = self._connected, None
        if channel is not None:
            channel.close()
        if connected is not None and not connected.done():
            connected.set_exception(LaunchFailed(f"Ray: {reason}"))
            # Somebody may have given up waiting.
            connected.exception()
        loop = asyncio.get_running_loop()
        if process is not None and not process.ended.done():
            # It gets a moment to say farewell to the cluster.
            loop.call_later(_FAREWELL_S, _end, process)
        self._join_again()

    def _join_again(self) -> None:
        """Have the cluster joined once more, where there are workers that need it and nobody is at it."""
        if self._placements and not self._is_closed and self._rejoining is None:
            self._rejoining = asyncio.get_running_loop().create_task(self._rejoin())

    async def _rejoin(self) -> None:
        """Join the cluster again, however long that takes: workers may be there, and end there."""
        pause_s = _FIRST_PAUSE_S
        try:
            while self._placements and not self._is_joined:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                with faults.contained("ray"):
                    await self._try_to_join()
        finally:
            self._rejoining = None

    async def _try_to_join(self) -> None:
        try:
            await self.connect()
        except LaunchFailed as error:
            for placement in self._placements.values():
                placement.on_waiting(f"waiting for Ray: {error}")
        else:
            logger.info("The connection to Ray is there again.")


@faults.contained("ray")
def _end(process: SupervisedProcess) -> None:
    process.kill()
