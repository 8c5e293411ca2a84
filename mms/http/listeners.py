"""The sockets that the server listens on."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable

from mms.settings import Address

_BACKLOG = 4096


class BindFailed(OSError):
    """An address cannot be listened on. The message is one line for people."""


async def listen(
    address: Address,
    make_protocol: Callable[[], asyncio.Protocol],
    context: ssl.SSLContext | None,
) -> asyncio.AbstractServer:
    """Raises BindFailed."""
    loop = asyncio.get_running_loop()
    try:
        if address.scheme == "unix":
            _make_way(address.path)
            return await loop.create_unix_server(make_protocol, address.path, backlog=_BACKLOG)
        return await loop.create_server(
            make_protocol,
            address.host,
            address.port,
            ssl=context if address.is_tls else None,
            backlog=_BACKLOG,
            reuse_address=True,
        )
    except (OSError, socket.gaierror, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BindFailed(f"Failed to bind to address: {address} ({reason})") from None


def _make_way(path: str) -> None:
    """Remove what is at the path of a socket, as MMS does: usually the socket of a server that is gone."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def remove_sockets(*addresses: Address) -> None:
    """Remove the files of Unix sockets that nobody listens on any more."""
    for address in addresses:
        if address.scheme == "unix":
            try:
                os.unlink(address.path)
            except OSError:
                continue
