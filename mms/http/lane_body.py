"""Large bodies of the lane's requests."""

from __future__ import annotations

import asyncio
from typing import Protocol


class BodyTaker(Protocol):
    """The connection that a body comes in on."""

    def take_direct(self, body: bytearray) -> None:
        """The body is complete, read straight to its place."""

    def eof_received(self) -> bool | None: ...

    def connection_lost(self, exc: Exception | None) -> None: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...


class BodyReader(asyncio.BufferedProtocol):
    """Stands in for a lane connection while a large body is read from the socket straight to where it stays."""

    __slots__ = ("_body", "_connection", "_filled")

    def __init__(self, connection: BodyTaker, body: bytearray, filled: int) -> None:
        self._connection = connection
        self._body = body
        self._filled = filled

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self._body)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        if self._filled == len(self._body):
            self._connection.take_direct(self._body)

    def eof_received(self) -> bool | None:
        return self._connection.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()
