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
from mms.http.sockets.backlog import take_backlog
from mms.http.sockets.tls_server import TlsServer
from mms.limits.connections import ConnectionLimit, Refusal
from mms.settings import Address

_BACKLOG = 4096


class OpenListener(Protocol):
    @property
    def sockets(self) -> Sequence[Any]:
        """Return what it listens on, to be looked at."""

    async def take_backlog(self) -> None:
        """Take the connections that clients have opened by now. To be called before `close`."""

    def close(self) -> None:
        """Take no more connections."""


class PlainServer:
    """A listener without TLS: the event loop's."""

    def __init__(self, server: asyncio.Server) -> None:
        self.sockets: Sequence[Any] = server.sockets
        self._server = server

    def __repr__(self) -> str:
        return f"<PlainServer of {len(self.sockets)} sockets>"

    async def take_backlog(self) -> None:
        await take_backlog(self.sockets)

    def close(self) -> None:
        self._server.close()


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
    """`limit`: of connections whose TLS handshake is under way; others ask it themselves.

    `has_spare`: as `ConnectionLimit.is_full` has it. Raises BindFailed.
    """
    loop = asyncio.get_running_loop()
    make_protocol = _or_refuse(make_protocol)
    try:
        if address.scheme == "unix":
            _make_way(address.path)
            return PlainServer(
                await loop.create_unix_server(make_protocol, address.path, backlog=_BACKLOG)
            )
        server = await loop.create_server(
            make_protocol,
            address.host,
            address.port,
            backlog=_BACKLOG,
            reuse_address=True,
            start_serving=not address.is_tls,
        )
        if not address.is_tls or context is None:
            return PlainServer(server)
        bound = [_copy_of(listening) for listening in server.sockets]
        server.close()
        return TlsServer(
            bound,
            make_protocol,
            context,
            limit or ConnectionLimit(sys.maxsize),
            _BACKLOG,
            has_spare=has_spare,
        )
    except (OSError, socket.gaierror, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BindFailed(f"Failed to bind to address: {address} ({reason})") from None


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
