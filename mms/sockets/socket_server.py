"""A listener that takes many connections at once; those of TLS count from the first moment on, and their handshakes do
not last."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Sequence

from mms import faults
from mms.limits.connections import ConnectionLimit
from mms.sockets.backlog import take_backlog

logger = logging.getLogger("mms.http")

#: For a handshake, in seconds. Clients of good will take a fraction of one.
_HANDSHAKE_S = 10.0
#: Connections taken in one turn of the event loop.
_ACCEPTS = 64
#: Until it is tried again where the system has no connection to give, in seconds.
_RETRY_S = 1.0


class SocketServer:
    """Takes connections by itself.

    uvloop's own servers take one in a turn of the loop, so that the last of a thousand waits for a thousand turns. No
    loop's own server asks anybody before a handshake has ended.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        make_protocol: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext | None,
        limit: ConnectionLimit,
        backlog: int,
        *,
        has_spare: bool = False,
        accepts: int = _ACCEPTS,
    ) -> None:
        """`sockets`: bound; the server's own from now on. `context`: None without TLS.

        `limit`: of connections, and of those whose handshake is under way. `accepts`: connections taken in one turn of
        the event loop.
        """
        self.sockets = list(sockets)
        self._make_protocol = make_protocol
        self._context = context
        self._limit = limit
        self._has_spare = has_spare
        self._accepts = accepts
        #: Connections on their way to a protocol.
        self._shaking: set[asyncio.Task[None]] = set()
        self._retries: dict[socket.socket, asyncio.TimerHandle] = {}
        self._loop = asyncio.get_running_loop()
        for listening in self.sockets:
            listening.setblocking(False)
            listening.listen(backlog)
            self._loop.add_reader(listening.fileno(), self._accept, listening)

    def __repr__(self) -> str:
        return f"<SocketServer of {len(self.sockets)} sockets, {len(self._shaking)} on their way>"

    async def take_backlog(self) -> None:
        """Take the connections that clients have opened by now, and let their handshakes come to their end."""
        await take_backlog(self.sockets, lambda: bool(self._shaking))

    def stop(self) -> None:
        """Take no more connections. Handshakes go on."""
        for listening in self.sockets:
            if listening in self._retries:
                self._retries.pop(listening).cancel()
            else:
                self._loop.remove_reader(listening.fileno())
            listening.close()
        self.sockets = []

    def close(self) -> None:
        """Take no more connections, and end handshakes."""
        self.stop()
        for task in self._shaking:
            task.cancel()

    @faults.contained("connection")
    def _accept(self, listening: socket.socket) -> None:
        # Without a handshake those on their way are not counted yet. What is beyond the limit is taken one by one, to
        # be refused, so that descriptors which the limit keeps free stay free.
        room = self._limit.room() - (len(self._shaking) if self._context is None else 0)
        for _ in range(min(self._accepts, max(room, 1))):
            try:
                connection, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                logger.error("No connection can be taken: %s.", error.strerror or error)
                self._loop.remove_reader(listening.fileno())
                self._retries[listening] = self._loop.call_later(_RETRY_S, self._resume, listening)
                return
            with faults.contained("connection"):
                self._begin(connection)

    def _begin(self, connection: socket.socket) -> None:
        # Without a handshake the protocol asks, as soon as it has the connection.
        if self._context is not None and self._limit.is_full(has_spare=self._has_spare):
            connection.close()
            return
        connection.setblocking(False)
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._shake(connection, self._make_protocol()))
        self._shaking.add(task)
        task.add_done_callback(self._shaking.discard)
        if self._context is not None:
            self._limit.handshakes.add(task)
            task.add_done_callback(self._limit.handshakes.discard)

    @faults.contained("connection")
    def _resume(self, listening: socket.socket) -> None:
        del self._retries[listening]
        self._loop.add_reader(listening.fileno(), self._accept, listening)

    async def _shake(self, connection: socket.socket, protocol: asyncio.Protocol) -> None:
        try:
            await self._loop.connect_accepted_socket(
                lambda: protocol,
                connection,
                ssl=self._context,
                ssl_handshake_timeout=None if self._context is None else _HANDSHAKE_S,
            )
        except OSError:
            # The client's affair: no certificate, another protocol, its end.
            connection.close()
        except Exception as error:
            connection.close()
            faults.note("connection", error)
