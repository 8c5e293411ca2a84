"""The sockets that the server listens on."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import stat
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
            _remove_left_socket(address.path)
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


def _remove_left_socket(path: str) -> None:
    """Remove the socket of a server that is gone; anything else at the path is somebody's file."""
    try:
        mode = os.stat(path, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise BindFailed(
            f"Failed to bind to address: unix:{path} (a file that is no socket is there)"
        )
    os.unlink(path)


def remove_sockets(*addresses: Address) -> None:
    """Remove the files of Unix sockets that nobody listens on any more."""
    for address in addresses:
        if address.scheme == "unix":
            try:
                os.unlink(address.path)
            except OSError:
                continue
