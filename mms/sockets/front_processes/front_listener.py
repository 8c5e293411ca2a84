"""One address that front processes listen on."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence

from mms.limits.connections import ConnectionLimit
from mms.sockets.front_processes.owner_link import OwnerLink
from mms.sockets.socket_server import SocketServer

#: Of sockets that several processes take connections from, each takes so many at once: else the first takes all.
_SHARED_ACCEPTS = 1
_OWN_ACCEPTS = 64


class FrontListener:
    """The sockets of an address, for each front process its own. Where one has no process, the owner listens itself."""

    def __init__(
        self,
        number: int,
        sockets: Sequence[Sequence[socket.socket]],
        make_protocol: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext | None,
        limit: ConnectionLimit,
        backlog: int,
        *,
        is_shared: bool,
    ) -> None:
        """`sockets`: of each front process; bound, and the listener's own from now on. `is_shared`: they are all the
        same. `limit`: of all connections."""
        self.number = number
        self.make_protocol = make_protocol
        self.context = context
        self.backlog = backlog
        self.accepts = _SHARED_ACCEPTS if is_shared else _OWN_ACCEPTS
        self._each = [list(own) for own in sockets]
        self._limit = limit
        self._links: dict[int, OwnerLink] = {}
        self._stand_ins: dict[int, SocketServer] = {}
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<FrontListener of {len(self._each)} processes, {len(self._stand_ins)} stand-ins>"

    @property
    def sockets(self) -> Sequence[socket.socket]:
        return [listening for own in self._each for listening in own]

    def descriptors(self, process: int) -> list[int]:
        """Return what a front process inherits; nothing of a listener that is closed."""
        return [listening.fileno() for listening in self._each[process]] if self._each else []

    def stand_in(self, process: int) -> None:
        """Take the connections of a front process that does not run."""
        self._links.pop(process, None)
        if process not in self._stand_ins and not self._is_closed:
            self._stand_ins[process] = SocketServer(
                [listening.dup() for listening in self._each[process]],
                self.make_protocol,
                self.context,
                self._limit,
                self.backlog,
                accepts=self.accepts,
            )

    def leave_to(self, process: int, link: OwnerLink) -> None:
        """The front process takes them from now on."""
        if self._is_closed:
            # Since the process was told to listen.
            link.close_listener(self.number)
            return
        self._links[process] = link
        stand_in = self._stand_ins.pop(process, None)
        if stand_in is not None:
            stand_in.stop()

    async def take_backlog(self) -> None:
        """Take the connections that clients have opened by now. To be called before `close`."""
        await asyncio.gather(
            *(link.take_backlog(self.number) for link in self._links.values()),
            *(server.take_backlog() for server in self._stand_ins.values()),
        )

    def close(self) -> None:
        """Take no more connections."""
        self._is_closed = True
        for link in self._links.values():
            link.close_listener(self.number)
        for server in self._stand_ins.values():
            server.close()
        for listening in self.sockets:
            listening.close()
        self._each = []
        self._links.clear()
        self._stand_ins.clear()
