"""The sockets that the server listens on."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from mms import faults
from mms.limits.connections import ConnectionLimit, Refusal
from mms.settings import Address
from mms.sockets.socket_server import SocketServer

_BACKLOG = 4096


class OpenListener(Protocol):
    @property
    def sockets(self) -> Sequence[Any]:
        """Return what it listens on, to be looked at."""

    async def take_backlog(self) -> None:
        """Take the connections that clients have opened by now. To be called before `close`."""

    def close(self) -> None:
        """Take no more connections."""


class BindFailed(OSError):
    """An address cannot be listened on. The message is one line for people."""


async def listen(
    address: Address,
    make_protocol: Callable[[], asyncio.Protocol],
    context: ssl.SSLContext | None,
    limit: ConnectionLimit | None = None,
    *,
    has_spare: bool = False,
) -> OpenListener:
    """`limit`: of connections, and of those whose TLS handshake is under way; the others' protocols ask it themselves.

    `has_spare`: as `ConnectionLimit.is_full` has it. Raises BindFailed.
    """
    make_protocol = _or_refuse(make_protocol)
    try:
        bound = await _bind(address)
        return SocketServer(
            bound,
            make_protocol,
            context if address.is_tls else None,
            limit or ConnectionLimit(sys.maxsize),
            _BACKLOG,
            has_spare=has_spare,
        )
    except (OSError, socket.gaierror, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BindFailed(f"Failed to bind to address: {address} ({reason})") from None


async def _bind(address: Address) -> list[socket.socket]:
    """Return the sockets of all addresses that a name stands for."""
    if address.scheme == "unix":
        _make_way(address.path)
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            bound.bind(address.path)
        except BaseException:
            bound.close()
            raise
        return [bound]
    server = await asyncio.get_running_loop().create_server(
        Refusal, address.host, address.port, reuse_address=True, start_serving=False
    )
    sockets = [_copy_of(listening) for listening in server.sockets]
    server.close()
    return sockets


def _or_refuse(make_protocol: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
    """A connection that cannot be served is ended: some event loops would take no other one before."""

    def make() -> asyncio.Protocol:
        try:
            return make_protocol()
        except Exception as error:
            faults.note("connection", error)
            return Refusal()

    return make


def _copy_of(listening: Any) -> socket.socket:
    """Of a socket as event loops show it, which is not to be closed by them."""
    return socket.socket(fileno=os.dup(listening.fileno()))


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
