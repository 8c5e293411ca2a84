"""Carries a worker's connections from its node to the front by mutual TLS.

The worker dials a Unix socket, as it does beside the front: its own code knows nothing of TLS, whose library serves no
two threads at once, and the kernel can end the worker with its lifeline.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
import ssl
from collections.abc import Callable
from typing import cast

from mms import faults
from mms.launch.connection import WORKER_ROLES
from mms.launch.nodes.folders import node_root, relay_folder
from mms.launch.nodes.sockets import watch_peer

logger = logging.getLogger("mms.launch")

_HANDSHAKE_S = 10.0
#: A connection of which nothing is to be read yet may bring a read or two all the same: a worker's hello.
_MOST_EARLY_BYTES = 1 << 20
#: What a worker opens.
_CONNECTIONS = len(WORKER_ROLES)


class Route:
    """How the front is reached from a node."""

    def __init__(
        self, host: str, port: int, context: ssl.SSLContext, front_name: str, silence_s: float
    ) -> None:
        """`front_name`: of the certificate that the front has to have. `silence_s`: see `watch_peer`."""
        self._host = host
        self._port = port
        self._context = context
        self._front_name = front_name
        self._silence_s = silence_s

    def __repr__(self) -> str:
        return f"<Route to {self._host}:{self._port}>"

    async def dial(self, make_protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        """Open a connection. Raises OSError, and TimeoutError of asyncio."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        connection = socket.socket(family, kind, protocol)
        try:
            connection.setblocking(False)
            watch_peer(connection, self._silence_s)
            await asyncio.wait_for(loop.sock_connect(connection, address), _HANDSHAKE_S)
            await loop.create_connection(
                make_protocol,
                sock=connection,
                ssl=self._context,
                server_hostname=self._front_name,
                ssl_handshake_timeout=_HANDSHAKE_S,
            )
        except BaseException:
            connection.close()
            raise


class _End(asyncio.Protocol):
    """One of the two connections that are one. What it reads the other one writes."""

    def __init__(self, on_lost: Callable[[], None] = lambda: None) -> None:
        self.other: _End | None = None
        self.transport: asyncio.Transport | None = None
        self._on_lost = on_lost
        #: What was read before there was another one to write it.
        self._early = bytearray()

    @faults.ends_connection
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    @faults.ends_connection
    def data_received(self, data: bytes) -> None:
        other = self.other
        if other is None:
            self._early += data
            if len(self._early) > _MOST_EARLY_BYTES:
                self.abort()
        elif other.transport is not None:
            other.transport.write(data)

    def join(self, other: _End) -> None:
        """Have two connections be one."""
        self.other, other.other = other, self
        for reader, writer in ((self, other), (other, self)):
            early, reader._early = reader._early, bytearray()
            if early and writer.transport is not None:
                writer.transport.write(early)

    @faults.ends_connection
    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    @faults.ends_connection
    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    @faults.ends_connection
    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        other, self.other = self.other, None
        if other is not None and other.transport is not None:
            # What was read before is written before it closes.
            other.transport.close()
        self._on_lost()


class Relay:
    """A Unix socket whose connections go on to the front."""

    def __init__(self, route: Route) -> None:
        """Raises OSError."""
        self._route = route
        self._folder = relay_folder(node_root())
        self._server: asyncio.AbstractServer | None = None
        self._opened = 0
        self._open = 0
        self._dials: set[asyncio.Task[None]] = set()
        #: Set while none of the connections is open.
        self.is_drained = asyncio.Event()
        self.is_drained.set()

    def __repr__(self) -> str:
        return f"<Relay {self._folder}, {self._open} connections, {self._route!r}>"

    @property
    def address(self) -> str:
        return f"unix:{self._folder / 'front.sock'}"

    async def start(self) -> None:
        """Listen for the worker. Raises OSError."""
        path = self._folder / "front.sock"
        self._server = await asyncio.get_running_loop().create_unix_server(self._accept, str(path))
        os.chmod(path, 0o600)

    def _accept(self) -> _Inner:
        return _Inner(self._join, self._on_lost)

    def _join(self, inner: _Inner) -> None:
        """Open the way to the front for a connection."""
        self._opened += 1
        self._open += 1
        self.is_drained.clear()
        if self._opened > _CONNECTIONS:
            inner.abort()
            return
        if self._opened == _CONNECTIONS:
            self.close()
        task = asyncio.get_running_loop().create_task(self._dial(inner))
        self._dials.add(task)
        task.add_done_callback(self._dials.discard)

    async def _dial(self, inner: _Inner) -> None:
        outer = _End()
        try:
            await self._route.dial(lambda: outer)
        except (OSError, asyncio.TimeoutError) as error:
            logger.error("%r cannot be reached: %s", self._route, error)
            inner.abort()
            return
        except Exception as error:
            faults.note("relay", error)
            inner.abort()
            return
        if inner.transport is None:
            outer.abort()
            return
        inner.join(outer)
        inner.transport.resume_reading()

    def _on_lost(self) -> None:
        self._open -= 1
        if not self._open:
            self.is_drained.set()

    def close(self) -> None:
        """Listen no more, and leave no file."""
        if self._server is not None:
            self._server.close()
        shutil.rmtree(self._folder, ignore_errors=True)


class _Inner(_End):
    """A worker's connection, of which nothing is read before there is a way on."""

    def __init__(self, join: Callable[[_Inner], None], on_lost: Callable[[], None]) -> None:
        super().__init__(on_lost)
        self._join = join

    @faults.ends_connection
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.transport is not None:
            self.transport.pause_reading()
        self._join(self)
