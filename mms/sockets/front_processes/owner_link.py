"""The owner's end of the socket to a front process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Protocol, cast

from mms import faults
from mms.sockets.front_processes.frames import CONTROL
from mms.sockets.front_processes.link import Link
from mms.sockets.front_processes.transport import FrontTransport

#: Connections that end in one turn of the loop, where their process has ended.
_ENDED_IN_A_TURN = 256
#: What a front process may take to answer, in seconds.
_ANSWER_S = 2.0


class ProtocolSource(Protocol):
    """A listener that front processes take connections for."""

    def make_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol of a new connection."""


class OwnerLink(Link):
    """Gives connections of clients to their protocols. `ended` is done once the front process is gone."""

    def __init__(self, listeners: Sequence[ProtocolSource]) -> None:
        super().__init__()
        loop = asyncio.get_running_loop()
        self.is_up: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        #: Connections that ended with it.
        self.lost = 0
        #: Signs of life that it was asked for in a row, and has not given.
        self.unanswered_beats = 0
        self._listeners = listeners
        self._taken: dict[int, asyncio.Future[None]] = {}

    @faults.ends_connection
    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if not self.ended.done():
            self.ended.set_result(None)
        self.lost = len(self.connections)
        self._lose_some()

    @faults.ends_connection
    def _lose_some(self) -> None:
        """Tell protocols that their connections are no more."""
        for _ in range(min(_ENDED_IN_A_TURN, len(self.connections))):
            _, connection = self.connections.popitem()
            cast(FrontTransport, connection).lose(ConnectionResetError("its process has ended"))
        if self.connections:
            asyncio.get_running_loop().call_soon(self._lose_some)

    def on_open(self, number: int, facts: dict[str, Any]) -> None:
        facts = {name: _as_tuples(value) for name, value in facts.items()}
        protocol = self._listeners[facts.pop("listener")].make_protocol()
        transport = FrontTransport(self, number, facts)
        self.connections[number] = transport
        transport.begin(protocol)

    def on_control(self, message: dict[str, Any]) -> None:
        if "up" in message:
            if not self.is_up.done():
                self.is_up.set_result(None)
        elif "beat" in message:
            self.unanswered_beats = 0
        elif "taken" in message:
            waiting = self._taken.pop(message["taken"], None)
            if waiting is not None and not waiting.done():
                waiting.set_result(None)
        elif "log" in message:
            line = message["log"]
            logging.getLogger(line["name"]).log(line["level"], "%s", line["text"])

    def beat(self) -> None:
        """Ask for a sign of life."""
        self.unanswered_beats += 1
        self.tell(CONTROL, 0, {"beat": True})

    async def take_backlog(self, listener: int) -> None:
        """Return once connections that clients have opened by now have come here, or the process does not answer."""
        self._taken[listener] = waiting = asyncio.get_running_loop().create_future()
        self.tell(CONTROL, 0, {"take_backlog": listener})
        await asyncio.wait(
            (waiting, self.ended), timeout=_ANSWER_S, return_when=asyncio.FIRST_COMPLETED
        )

    def close_listener(self, listener: int) -> None:
        """Have the process take no more connections there."""
        self.tell(CONTROL, 0, {"close": listener})


def _as_tuples(value: Any) -> Any:
    """As Python has what came by JSON."""
    if isinstance(value, dict):
        return {name: _as_tuples(each) for name, each in value.items()}
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value
