"""The end of a connection that nobody takes for a good one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct

from mms.sockets.front_processes.transport import FrontTransport

#: Linger for no time: what is unsent is dropped, and the client gets a reset.
_AT_ONCE = struct.pack("ii", 1, 0)


def reset(transport: asyncio.Transport) -> None:
    """End a connection at once, with a reset where it is TCP's."""
    if isinstance(transport, FrontTransport):
        transport.reset()
        return
    found = transport.get_extra_info("socket")
    with (
        contextlib.suppress(OSError, AttributeError),
        socket.socket(fileno=os.dup(found.fileno())) as own,
    ):
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()
