"""Ports that a command is to serve on, looked at before a model is loaded for them."""

from __future__ import annotations

import errno
import socket
from typing import Final

MANAGEMENT_PORT: Final = 8081


class PortUnusable(Exception):
    """A port cannot be listened on. The message says why, and which option chooses another one."""


def check_port(option: str, what: str, port: int, host: str = "0.0.0.0") -> None:
    """Raise PortUnusable where nobody can listen on a port: better now than after a long load.

    `option`: chooses another port; `what`: is to be served there.
    """
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )
    except OSError as error:
        raise PortUnusable(f"{host} is no address of this machine: {error.strerror}") from None
    family, *_, address = found[0]
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                why = f"is taken{_holder(port)}"
            else:
                why = f"cannot be used: {error.strerror}"
            raise PortUnusable(f"port {port} of {what} {why}; {option} chooses another") from None


def management_port() -> int:
    """Return the usual port, or a free one: several servers may share an address."""
    for port in (MANAGEMENT_PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    return 0


def _holder(port: int) -> str:
    """Return which process listens on a port, as far as this user may know."""
    import psutil

    from mms.cli.pid_file import is_server

    try:
        pid = next(
            found.pid
            for found in psutil.net_connections("tcp")
            if found.status == psutil.CONN_LISTEN
            and getattr(found.laddr, "port", 0) == port
            and found.pid
        )
        name = "another model server" if is_server(pid) else psutil.Process(pid).name()
    except (StopIteration, psutil.Error, OSError):
        return ""
    return f" by {name}, process {pid}"
