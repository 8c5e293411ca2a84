"""One end of the socket between the owner and a front process: the same for both."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Protocol, cast

from mms import faults
from mms.sockets.front_processes.frames import (
    CONTROL,
    CREDIT,
    HEADER,
    HEADER_BYTES,
    KIND_SHIFT,
    MOST_BYTES,
    OPEN,
    WITH_PAYLOAD,
)


class Carried(Protocol):
    """This side of a client's connection."""

    def feed(self, data: bytes) -> None:
        """Bytes have come from the other side."""

    def add_credit(self, size: int) -> None:
        """The other side takes so many bytes more."""

    def on_signal(self, kind: int) -> None:
        """A frame without payload has come, of this kind."""


class Link(asyncio.Protocol):
    """Cuts what comes into frames, and sends at the end of a turn of the loop what was put meanwhile."""

    def __init__(self) -> None:
        self.connections: dict[int, Carried] = {}
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        #: The begin of a frame whose rest has not come.
        self._rest = b""
        self._parts: list[Any] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} with {len(self.connections)} connections>"

    # Sending

    def put(self, number: int, data: bytes | bytearray | memoryview) -> None:
        """Send bytes of a connection, as many as its credit has."""
        parts = self._parts
        if not parts:
            self._loop.call_soon(self._flush)
        parts.append(HEADER.pack(number, len(data)))
        parts.append(data)

    def signal(self, kind: int, number: int, size: int = 0) -> None:
        """Send a frame without payload."""
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(HEADER.pack(number, kind << KIND_SHIFT | size))

    def tell(self, kind: int, number: int, message: Mapping[str, Any]) -> None:
        """Send JSON."""
        payload = json.dumps(message).encode()
        self.signal(kind, number, len(payload))
        self._parts.append(payload)

    @faults.ends_connection
    def _flush(self) -> None:
        parts, self._parts = self._parts, []
        if self._transport is not None:
            self._transport.write(b"".join(parts))

    # The transport's calls

    @faults.ends_connection
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    @faults.ends_connection
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    @faults.ends_connection
    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        at = 0
        size = len(data)
        read = HEADER.unpack_from
        connections = self.connections
        while size - at >= HEADER_BYTES:
            number, word = read(data, at)
            start = at + HEADER_BYTES
            if word <= MOST_BYTES:
                end = start + word
                if end > size:
                    break
                connection = connections.get(number)
                if connection is not None:
                    connection.feed(data[start:end])
                at = end
                continue
            kind = word >> KIND_SHIFT
            length = word & MOST_BYTES
            end = start + length if kind in WITH_PAYLOAD else start
            if end > size:
                break
            at = end
            with faults.contained("connection"):
                self._on_frame(kind, number, length, data[start:end])
        self._rest = data[at:] if at < size else b""

    def _on_frame(self, kind: int, number: int, length: int, payload: bytes) -> None:
        if kind == CONTROL:
            self.on_control(json.loads(payload))
        elif kind == OPEN:
            self.on_open(number, json.loads(payload))
        else:
            connection = self.connections.get(number)
            if connection is None:
                # It has ended here, which the other side did not know yet.
                return
            if kind == CREDIT:
                connection.add_credit(length)
            else:
                connection.on_signal(kind)

    def abort(self) -> None:
        """End the socket, and with it all connections."""
        if self._transport is not None:
            self._transport.abort()

    # Of each side's own

    def on_control(self, message: dict[str, Any]) -> None:
        """The other side says something of the process."""

    def on_open(self, number: int, facts: dict[str, Any]) -> None:
        """A client has connected."""
