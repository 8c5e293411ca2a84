"""Large bodies of the lane's requests."""

from __future__ import annotations

import asyncio
from typing import Protocol

from mms.processes.heap import can_reserve, make_room

#: The room that a large body has at first, beyond what has come of it; it doubles until all fits.
GROWTH_BYTES = 256 * 1024
#: So many times what has come of a body is reserved for it: memory that takes no room until something is written there.
#: More room in the same place costs no copy of what has come.
_RESERVED = 16


class BodyTaker(Protocol):
    """The connection that a body comes in on. `body_filled`: bytes of it that have come."""

    body_filled: int

    def take_direct(self, body: bytearray) -> None:
        """The body is complete, read straight to its place."""

    def room_for_body(self, missing_bytes: int) -> int:
        """Return how much more of the body may come, in bytes. 0: no more is read until `make_room` is called."""

    def eof_received(self) -> bool | None: ...

    def connection_lost(self, exc: Exception | None) -> None: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...


class BodyReader(asyncio.BufferedProtocol):
    """Stands in for a lane connection while a large body is read from the socket straight to where it stays."""

    __slots__ = ("_body", "_connection", "_length", "room_bytes")

    def __init__(self, connection: BodyTaker, body: bytearray, length: int) -> None:
        """`body`: what has come of a body of `length` bytes."""
        self._connection = connection
        self._body = body
        self._length = length
        #: What the body may come to at present, of what is reserved for it.
        self.room_bytes = len(body)

    def make_room(self) -> bool:
        """Ask for room for more, unless there is some. Returns whether there is."""
        filled = self._connection.body_filled
        if filled == self.room_bytes:
            self.room_bytes += self._connection.room_for_body(self._length - filled)
        return filled < self.room_bytes

    def close(self) -> None:
        """The body is read, or dropped."""
        # uvloop's transports keep the methods of an earlier protocol, and with them all that it knows.
        self._body = bytearray()

    def get_buffer(self, sizehint: int) -> memoryview:
        body, room = self._body, self.room_bytes
        filled = self._connection.body_filled
        if room > len(body):
            more = max(room, filled * _RESERVED) if can_reserve() else room
            self._body = larger = make_room(min(self._length, more))
            larger[:filled] = memoryview(body)[:filled]
            body = larger
        return memoryview(body)[filled:room]

    def buffer_updated(self, nbytes: int) -> None:
        connection = self._connection
        connection.body_filled += nbytes
        if connection.body_filled == self._length:
            connection.take_direct(self._body)
        else:
            # Here it is asked for, and in `get_buffer` taken: uvloop's transports cannot be paused there, and have a
            # view of the body here.
            self.make_room()

    def eof_received(self) -> bool | None:
        return self._connection.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()
