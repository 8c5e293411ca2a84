"""Connections of a test's clients, which end before the test's loop does."""

from __future__ import annotations

import asyncio


class Streams:
    """Opens connections to a port of this machine, and ends all of them."""

    def __init__(self) -> None:
        self._writers: list[asyncio.StreamWriter] = []

    async def open(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        self._writers.append(writer)
        return reader, writer

    async def close(self) -> None:
        """Return when they are closed. A loop that is closed before that warns of them, in some later test."""
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*(w.wait_closed() for w in self._writers), return_exceptions=True)
