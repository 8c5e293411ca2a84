"""Where workers of other nodes dial in: TCP with mutual TLS, and nothing else."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable

from mms import faults
from mms.launch.nodes.sockets import watch_peer

logger = logging.getLogger("mms.launch")

#: For a handshake, in seconds.
_HANDSHAKE_S = 5.0
#: Handshakes at once. Beyond it the oldest one is ended: workers take milliseconds for theirs.
_MOST_HANDSHAKES = 64
_BACKLOG = 256
#: What is refused is logged once in so many seconds, with how often it has happened.
_LOG_S = 10.0
#: How long nobody is accepted where that fails, as no file can be opened, in seconds.
_PAUSE_S = 0.2


class TlsListener:
    """Accepts connections. A stranger gets no further than the handshake, and cannot keep others from theirs."""

    def __init__(
        self,
        context: ssl.SSLContext,
        make_protocol: Callable[[], asyncio.BaseProtocol],
        silence_s: float,
    ) -> None:
        """`silence_s`: how long a peer may answer nothing, not even its kernel, until its connection has ended."""
        self._context = context
        self._make_protocol = make_protocol
        self._silence_s = silence_s
        self._socket: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        #: The oldest one comes first.
        self._handshakes: dict[asyncio.Task[None], socket.socket] = {}
        #: Those that were hung up.
        self._ending: set[asyncio.Task[None]] = set()
        self._refused = 0
        self._logged_at = 0.0
        self.port = 0

    def __repr__(self) -> str:
        return f"<TlsListener port {self.port}, {len(self._handshakes)} handshakes>"

    async def start(self, host: str, port: int) -> None:
        """Listen; with port 0 at one that is free. Raises OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(_BACKLOG)
            listening.setblocking(False)
        except OSError:
            listening.close()
            raise
        self._socket = listening
        self.port = listening.getsockname()[1]
        self._accepting = loop.create_task(self._accept(listening))

    def close(self) -> None:
        if self._accepting is not None:
            self._accepting.cancel()
        if self._socket is not None:
            self._socket.close()
        for connection in self._handshakes.values():
            _hang_up(connection)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except OSError as error:
                self._note_refusal(f"cannot accept: {error}")
                await asyncio.sleep(_PAUSE_S)
                continue
            with faults.contained("accept"):
                task = loop.create_task(self._shake_hands(connection))
                self._handshakes[task] = connection
                task.add_done_callback(self._on_shaken)
                if len(self._handshakes) > _MOST_HANDSHAKES:
                    oldest = next(iter(self._handshakes))
                    # Its task takes some turns of the loop to end; meanwhile the next one is the oldest.
                    _hang_up(self._handshakes.pop(oldest))
                    self._ending.add(oldest)
            # Connections that wait are accepted without a turn of the loop, which others need, and those that end.
            while len(self._ending) >= _MOST_HANDSHAKES:
                await asyncio.wait(self._ending, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0)

    def _on_shaken(self, task: asyncio.Task[None]) -> None:
        self._handshakes.pop(task, None)
        self._ending.discard(task)

    async def _shake_hands(self, connection: socket.socket) -> None:
        try:
            connection.setblocking(False)
            watch_peer(connection, self._silence_s)
            await asyncio.get_running_loop().connect_accepted_socket(
                self._make_protocol,
                connection,
                ssl=self._context,
                ssl_handshake_timeout=_HANDSHAKE_S,
            )
        except (OSError, asyncio.TimeoutError) as error:
            # ssl.SSLError is an OSError.
            self._note_refusal(str(error) or type(error).__name__)
            connection.close()
        except asyncio.CancelledError:
            connection.close()
            raise
        except Exception as error:
            faults.note("handshake", error)
            connection.close()

    def _note_refusal(self, reason: str) -> None:
        self._refused += 1
        now = time.monotonic()
        if now - self._logged_at >= _LOG_S:
            self._logged_at = now
            logger.warning(
                "Connections to worker_address that were refused so far: %d, the last one for: %s.",
                *(self._refused, reason[:200]),
            )


def _hang_up(connection: socket.socket) -> None:
    """End a connection that its handshake still has, which then closes it."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        # It has ended already.
        return
