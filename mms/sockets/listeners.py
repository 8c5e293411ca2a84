"""The sockets that the server listens on."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from mms import faults
from mms.limits.connections import ConnectionLimit, Refusal
from mms.settings import Address
from mms.sockets.socket_server import SocketServer

BACKLOG = 4096
#: Other systems give all connections to one of the sockets.
_SPREADS = sys.platform == "linux"


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
    with _naming(address):
        return SocketServer(
            await _bind(address),
            or_refuse(make_protocol),
            context if address.is_tls else None,
            limit or ConnectionLimit(sys.maxsize),
            BACKLOG,
            has_spare=has_spare,
        )


async def bind_for(address: Address, count: int) -> tuple[list[list[socket.socket]], bool]:
    """Return sockets of an address for each of `count` processes, and whether all have the same. Raises BindFailed.

    Where the system spreads connections over the sockets of a port, each has its own.
    """
    with _naming(address):
        first = await _bind(address)
        if address.scheme == "unix" or not _SPREADS:
            return [first, *([one.dup() for one in first] for _ in range(count - 1))], True
        # The first ones were the only ones of their ports: no other server has them.
        places = [(one.family, one.getsockname()) for one in first]
        for one in first:
            one.close()
        return [[_bind_beside(*place) for place in places] for _ in range(count)], False


def _bind_beside(family: int, name: Any) -> socket.socket:
    """Bind one of several sockets of a port."""
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(name)
    except BaseException:
        bound.close()
        raise
    return bound


@contextmanager
def _naming(address: Address) -> Iterator[None]:
    """Raise BindFailed for what is wrong with an address."""
    try:
        yield
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


def or_refuse(make_protocol: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
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
