"""Where workers dial in: connections that have to say whose they are, and the socket of this machine's workers."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Collection
from pathlib import Path
from struct import Struct
from typing import cast

from mms import faults
from mms.launch.connection import CONNECTION_LOST, Link
from mms.launch.interface import LaunchFailed
from mms.processes import heap
from mms.wire import (
    CHUNK,
    HELLO,
    RESULT,
    ROLE_CONTROL,
    ROLE_WORK,
    Frame,
    FrameDecoder,
    Hello,
    ProtocolError,
)
from mms.wire.sockets import hold_more

logger = logging.getLogger("mms.launch")

#: Until a connection has said who it is, it is believed no frame larger than this.
_HELLO_BYTES = 64 * 1024
#: Connections that have not said who they are. Each has a buffer of 64 KiB.
_MAX_PENDING = 256
#: The same of one certificate: each worker of another node has its own, and opens four connections.
_MAX_OF_A_CERTIFICATE = 8
#: What a worker may leave unread of its control connection, in bytes, where other models' answers come.
_MAX_UNREAD_BYTES = 16 << 20
#: How many links that were given up are remembered.
_GIVEN_UP = 256
#: `struct ucred`: process, user, group.
_CREDENTIALS = Struct("3i")


class WorkerSocket:
    """The Unix socket that workers of this machine dial, and the links that a secret opens, whatever they dial."""

    def __init__(
        self,
        path: Path,
        hello_timeout_s: float,
        worker_gid: int | None = None,
        restore_folder: Callable[[], None] | None = None,
    ) -> None:
        """`hello_timeout_s`: for a connection to say whose it is. `worker_gid`: the group of workers that do not run as
        this process's user. `restore_folder`: makes the socket's folder again where something has removed it.
        """
        self.path = path
        self._pending = PendingConnections(hello_timeout_s)
        self._worker_gid = worker_gid
        self._restore_folder = restore_folder
        self._server: asyncio.AbstractServer | None = None
        #: Device and inode of the socket that is listened to.
        self._identity: tuple[int, int] | None = None
        self._links: dict[str, Link] = {}
        #: Of links that were given up lately, whose workers may come all the same.
        self._given_up: deque[str] = deque(maxlen=_GIVEN_UP)
        self._listening = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<WorkerSocket {self.path}, {len(self._links)} links>"

    @property
    def address(self) -> str:
        return f"unix:{self.path}"

    def expect(self, secret: str, link: Link) -> None:
        """Have connections that say this secret be the link's."""
        self._links[secret] = link

    def forget(self, secret: str) -> None:
        if self._links.pop(secret, None) is not None:
            self._given_up.append(secret)

    def accept(self) -> WorkerConnection:
        """Return the protocol of a connection that somebody has opened."""
        return WorkerConnection(self._links.get, self._pending, self._given_up)

    async def start(self) -> None:
        """Listen for workers. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(self.accept, str(self.path))
        os.chmod(self.path, 0o600)
        if self._worker_gid is not None:
            # Forked workers dial in as who they are. The secret is what lets them in.
            for path, mode in ((self.path.parent, 0o710), (self.path, 0o660)):
                os.chown(path, -1, self._worker_gid)
                os.chmod(path, mode)
        self._identity = self._identity_of_path()

    def _identity_of_path(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    async def ensure_listening(self) -> None:
        """Listen anew where the socket is gone, as temp folders are cleaned, or where a former one has its path.

        A folder that something was mounted over has the former one again afterwards. Workers that have dialled in stay.
        """
        async with self._listening:
            found = self._identity_of_path()
            if found is not None and found == self._identity:
                return
            former = self._server
            try:
                if self._restore_folder is not None:
                    self._restore_folder()
                await self.start()
            except OSError as error:
                raise LaunchFailed(
                    f"{self.path}, where workers dial in, is gone and cannot be made again: {error.strerror or error}"
                ) from None
            # Only now: without another one it may be found again.
            if former is not None:
                former.close()

    def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()


class PendingConnections:
    """The connections that have not said hello yet. A worker says it at once, so they may be few, and not for long."""

    def __init__(self, timeout_s: float, most: int = _MAX_PENDING) -> None:
        self._timeout_s = timeout_s
        self._most = most
        self._timers: dict[asyncio.Transport, asyncio.TimerHandle] = {}
        #: Of those that have one.
        self._certificates: dict[asyncio.Transport, bytes] = {}

    def __repr__(self) -> str:
        return f"<PendingConnections {len(self._timers)} of {self._most}>"

    def add(self, transport: asyncio.Transport) -> None:
        """Beyond the most that there may be, the oldest one is ended: it has been silent for the longest time.

        Whoever opens many by one certificate loses its own.
        """
        loop = asyncio.get_running_loop()
        self._timers[transport] = loop.call_later(self._timeout_s, transport.abort)
        alike = self._alike(transport)
        if len(alike) > _MAX_OF_A_CERTIFICATE:
            self._end(alike[0])
        elif len(self._timers) > self._most:
            self._end(next(iter(self._timers)))

    def _alike(self, transport: asyncio.Transport) -> list[asyncio.Transport]:
        """Note whose a connection is. Return those of the same certificate, the oldest one first."""
        secured = transport.get_extra_info("ssl_object")
        certificate = None if secured is None else secured.getpeercert(binary_form=True)
        if certificate is None:
            return []
        self._certificates[transport] = certificate
        return [each for each, other in self._certificates.items() if other == certificate]

    def _end(self, transport: asyncio.Transport) -> None:
        self.discard(transport)
        transport.abort()

    def discard(self, transport: asyncio.Transport) -> None:
        self._certificates.pop(transport, None)
        timer = self._timers.pop(transport, None)
        if timer is not None:
            timer.cancel()


class WorkerConnection(asyncio.BufferedProtocol):
    """One accepted connection. Its first frame says which link it belongs to."""

    def __init__(
        self,
        find_link: Callable[[str], Link | None],
        pending: PendingConnections,
        given_up: Collection[str] = (),
    ) -> None:
        """`given_up`: secrets of links that nobody waits for any more."""
        self._find_link = find_link
        self._given_up = given_up
        self._pending = pending
        self._decoder = FrameDecoder(_HELLO_BYTES, heap.make_room)
        self._link: Link | None = None
        self._role = ""
        self._transport: asyncio.Transport | None = None
        self._fault = CONNECTION_LOST

    @faults.ends_connection
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=1 << 30)
        self._pending.add(self._transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._decoder.get_buffer()

    def buffer_updated(self, nbytes: int) -> None:
        try:
            frames = self._decoder.received(nbytes)
            if self._link is None:
                if not frames:
                    return
                frames = self._greet(frames)
            link = self._link
            if link is None:
                return
            listener = link.listener
            for kind, sequence, payload, attachments in frames:
                if kind == RESULT:
                    listener.on_result(sequence, payload, attachments)
                elif kind == CHUNK:
                    listener.on_chunks(payload, attachments)
                else:
                    link.on_frame(kind, sequence, payload)
            listener.on_read()
        except ProtocolError as error:
            name = self._link.name if self._link else "an unknown worker"
            logger.error("Closing the connection of %s: %s", name, error)
            self._break_off(f"protocol error: {error}")
        except Exception as error:
            faults.note("frame", error, *(self._link.model if self._link else ()))
            self._break_off(f"unexpected error: {error}")

    @faults.ends_connection
    def pause_writing(self) -> None:
        if self._link is not None:
            self._link.on_behind(True)

    @faults.ends_connection
    def resume_writing(self) -> None:
        if self._link is not None:
            self._link.on_behind(False)

    def abort(self) -> None:
        """End the connection, and so its worker."""
        self._break_off("unexpected error")

    def _break_off(self, fault: str) -> None:
        self._fault = fault
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._pending.discard(self._transport)
        link, self._link = self._link, None
        self._transport = None
        if link is None:
            return
        try:
            link.on_disconnected(self._role, self._fault)
        except Exception as error:
            faults.note("connection", error, *link.model)
            link.close(f"unexpected error at its end: {error}")

    def _greet(self, frames: list[Frame]) -> list[Frame]:
        kind, _, payload, _ = frames[0]
        if kind != HELLO:
            raise ProtocolError("the first frame is not a hello")
        hello = Hello.from_payload(payload)
        link = self._find_link(hello.secret)
        transport = self._transport
        if transport is None:
            return []
        if hello.secret in self._given_up if link is None else link.closed.done():
            # It comes too late, and has done nothing wrong.
            transport.abort()
            return []
        if link is None or not link.on_connected(hello.role, _peer_pid(transport), transport):
            raise ProtocolError("hello with an unknown secret")
        self._pending.discard(transport)
        self._link = link
        self._role = hello.role
        self._decoder.max_length = link.max_frame_bytes
        if hello.role == ROLE_CONTROL:
            transport.set_write_buffer_limits(high=_MAX_UNREAD_BYTES)
        connection = transport.get_extra_info("socket")
        if (
            hello.role == ROLE_WORK
            and connection is not None
            and connection.family == socket.AF_UNIX
        ):
            hold_more(connection)
        return frames[1:]


def _peer_pid(transport: asyncio.BaseTransport) -> int | None:
    """Return the process that opened a connection, by the kernel; None where the system does not tell (Linux does)."""
    connection = transport.get_extra_info("socket")
    if connection is None or connection.family != getattr(socket, "AF_UNIX", None):
        return None
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid: int = _CREDENTIALS.unpack(credentials)[0]
    return pid
