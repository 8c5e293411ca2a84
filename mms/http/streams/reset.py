"""The end of a connection that nobody takes for a good one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web

#: Linger for no time: what is unsent is dropped, and the client gets a reset.
_AT_ONCE = struct.pack("ii", 1, 0)


def reset(transport: asyncio.Transport) -> None:
    """End a connection at once, with a reset where it is TCP's."""
    found = transport.get_extra_info("socket")
    with (
        contextlib.suppress(OSError, AttributeError),
        socket.socket(fileno=os.dup(found.fileno())) as own,
    ):
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()


def break_off(request: web.Request) -> None:
    """End a connection of aiohttp's side without the end of its body, which is all that tells the client."""
    transport = request.transport
    if transport is None:
        return
    if request.version >= (1, 1):
        # What came before it, the client still gets.
        transport.close()
    else:
        # HTTP/1.0 takes a closed connection for a good end.
        reset(transport)
