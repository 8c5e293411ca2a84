"""Large bodies of the lane's requests."""

from __future__ import annotations

import asyncio
from typing import Protocol

#: The room that a large body has at first, beyond what has come of it; it doubles until all fits.
GROWTH_BYTES = 256 * 1024


class BodyTaker(Protocol):
    """The connection that a body comes in on. `body_filled`: bytes of it that have come."""

    body_filled: int

    def take_direct(self, body: bytearray) -> None:
        """The body is complete, read straight to its place."""

    def grow(self) -> None:
        """More room was taken for the body."""

    def eof_received(self) -> bool | None: ...

    def connection_lost(self, exc: Exception | None) -> None: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...


class BodyReader(asyncio.BufferedProtocol):
    """Stands in for a lane connection while a large body is read from the socket straight to where it stays."""

    __slots__ = ("_body", "_connection", "_has_grown", "_length")

    def __init__(self, connection: BodyTaker, body: bytearray, length: int) -> None:
        """`body`: what has come of a body of `length` bytes, with some room behind it."""
        self._connection = connection
        self._body = body
        self._length = length
        self._has_grown = False

    def get_buffer(self, sizehint: int) -> memoryview:
        body = self._body
        filled = self._connection.body_filled
        if filled == len(body):
            body.extend(bytes(min(self._length - filled, max(filled, GROWTH_BYTES))))
            self._has_grown = True
        return memoryview(body)[filled:]

    def buffer_updated(self, nbytes: int) -> None:
        connection = self._connection
        connection.body_filled += nbytes
        if connection.body_filled == self._length:
            connection.take_direct(self._body)
        elif self._has_grown:
            # Not where the room is taken: uvloop's transports cannot be paused while they ask for it.
            self._has_grown = False
            connection.grow()

    def eof_received(self) -> bool | None:
        return self._connection.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()
