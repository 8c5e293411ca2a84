"""The end of an answer that cannot be completed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mms.sockets.reset import reset

if TYPE_CHECKING:
    from aiohttp import web


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
