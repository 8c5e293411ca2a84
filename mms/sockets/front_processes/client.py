"""A client's connection in the process that holds it."""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

from mms.sockets.front_processes.frames import (
    ABORT,
    CLOSE,
    CREDIT,
    CREDIT_BYTES,
    END,
    GONE,
    OPEN,
    RESET,
)
from mms.sockets.front_processes.link import Link
from mms.sockets.reset import reset

#: What may wait for a client before its connection counts as slow. Less than `_TELL_BYTES`, so that what the client
#: takes is always told.
_HIGH_BYTES: Final = CREDIT_BYTES // 4
#: After so much the owner is told what the client has taken.
_TELL_BYTES: Final = CREDIT_BYTES // 2
#: All connections read into the same place, one after the other: what comes goes on at once.
_ROOM: Final = memoryview(bytearray(64 * 1024))


class ClientLink(Link):
    """The front process's end of its socket. Owner of the numbers of connections."""

    def __init__(self) -> None:
        super().__init__()
        #: Connections whose clients do not take at once what is sent.
        self.slow: set[ClientConnection] = set()
        self._last = 0

    def add(self, connection: ClientConnection) -> int:
        """Return the number of a new connection."""
        while True:
            self._last = self._last % 0xFFFFFFFF + 1
            if self._last not in self.connections:
                self.connections[self._last] = connection
                return self._last

    def forget(self, number: int, connection: ClientConnection) -> None:
        """The connection has ended."""
        self.connections.pop(number, None)
        self.slow.discard(connection)
        self.signal(GONE, number)


class ClientConnection(asyncio.BufferedProtocol):
    """Carries bytes between a client and the owner, no more than either has credit for."""

    __slots__ = (
        "_credit",
        "_is_paused",
        "_link",
        "_listener",
        "_number",
        "_transport",
        "_untold_bytes",
    )

    def __init__(self, link: ClientLink, listener: int) -> None:
        """`listener`: its number."""
        self._link = link
        self._listener = listener
        self._number = 0
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        #: What the owner takes of the client.
        self._credit = CREDIT_BYTES
        self._is_paused = False
        #: What has been written of which the owner does not know that the client has taken it.
        self._untold_bytes = 0

    def __repr__(self) -> str:
        return f"<ClientConnection {self._number}>"

    # The client's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=_HIGH_BYTES, low=0)
        self._number = self._link.add(self)
        self._link.tell(OPEN, self._number, _facts(transport, self._listener))

    def get_buffer(self, sizehint: int) -> memoryview:
        return _ROOM[: self._credit]

    def buffer_updated(self, nbytes: int) -> None:
        self._credit -= nbytes
        self._link.put(self._number, bytes(_ROOM[:nbytes]))
        if self._credit <= 0:
            self._is_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._link.signal(END, self._number)
        # TLS has no half of a connection.
        return self._transport.get_extra_info("sslcontext") is None

    def connection_lost(self, exc: Exception | None) -> None:
        self._link.forget(self._number, self)

    def pause_writing(self) -> None:
        self._link.slow.add(self)

    def resume_writing(self) -> None:
        self._link.slow.discard(self)
        self.tell_taken()

    # The owner's side

    def feed(self, data: bytes) -> None:
        self._untold_bytes += len(data)
        self._transport.write(data)
        if self._untold_bytes >= _TELL_BYTES:
            self.tell_taken()

    def tell_taken(self) -> None:
        """Tell the owner what the client has taken by now."""
        taken = self._untold_bytes - self._transport.get_write_buffer_size()
        if taken > 0:
            self._untold_bytes -= taken
            self._link.signal(CREDIT, self._number, taken)

    def add_credit(self, size: int) -> None:
        self._credit += size
        if self._is_paused and self._credit > 0:
            self._is_paused = False
            self._transport.resume_reading()

    def on_signal(self, kind: int) -> None:
        if kind == CLOSE:
            self._transport.close()
        elif kind == END:
            self._transport.write_eof()
        elif kind == ABORT:
            self._transport.abort()
        elif kind == RESET:
            reset(self._transport)


def _facts(transport: asyncio.BaseTransport, listener: int) -> dict[str, Any]:
    """Return what the owner's protocols may ask of a connection."""
    facts: dict[str, Any] = {"listener": listener}
    for name in ("peername", "sockname"):
        address = transport.get_extra_info(name)
        # Those of Unix sockets may be bytes, which clients choose.
        facts[name] = address if isinstance(address, tuple) else ""
    if transport.get_extra_info("sslcontext") is not None:
        facts["sslcontext"] = facts["ssl_object"] = True
        for name in ("peercert", "cipher"):
            facts[name] = transport.get_extra_info(name)
    return facts
