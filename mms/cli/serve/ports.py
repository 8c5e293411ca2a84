"""Ports that a command is to serve on, looked at before a model is loaded for them."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mms.settings import Address, Settings

INFERENCE_PORT: Final = 8080
MANAGEMENT_PORT: Final = 8081
_LOOPBACK: Final = "127.0.0.1"


class PortUnusable(Exception):
    """A port cannot be listened on. The message says why, and which option chooses another one."""


def check_port(option: str, what: str, port: int, host: str = "0.0.0.0") -> None:
    """Raise PortUnusable where nobody can listen on a port: better now than after a long load.

    `option`: chooses another port; `what`: is to be served there.
    """
    try:
        _listen(host, port)
    except socket.gaierror as error:
        raise PortUnusable(f"{host} is no address of this machine: {error.strerror}") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why = f"is taken{_holder(port)}"
        else:
            why = f"cannot be used: {error.strerror}"
        raise PortUnusable(f"port {port} of {what} {why}; {option} chooses another") from None


def port_of_management(chosen: int | None, own: Mapping[int, str], host: str = _LOOPBACK) -> int:
    """Return the chosen port, else the usual one, or a free one: several servers may share an address.

    `own`: what the server itself listens for on other ports. Raises PortUnusable for a chosen port that is one of them:
    management would be open to whoever reaches that.
    """
    if chosen:
        if chosen in own:
            raise PortUnusable(
                f"port {chosen} of the management API is that of {own[chosen]}, too; "
                "--management-port chooses another"
            )
        check_port("--management-port", "the management API", chosen, host)
    if chosen is not None:
        return chosen
    for port in (MANAGEMENT_PORT, 0):
        try:
            found = _listen(host, port)
        except OSError:
            continue
        if found not in own:
            return found
    return 0


def choose_listeners(
    said: Settings,
    *,
    host: str | None = None,
    port: int | None = None,
    management_host: str | None = None,
    management_port: int | None = None,
) -> dict[str, Address]:
    """Return where both APIs are to listen, by the names of their settings; only what the command line chooses.

    `said`: the settings without the flags. What no flag says is as there, and where that is silent, too, management has
    the usual port or a free one on loopback. Raises PortUnusable.
    """
    chosen = {}
    inference = said.inference_address
    if host is not None or port is not None:
        inference = chosen["inference_address"] = _moved(inference, host, port)
    management = said.management_address
    is_said = "management_address" in said.sources
    if management_host is not None or management_port is not None or not is_said:
        if management_port is None and is_said and management.port:
            management_port = management.port
        own = {
            each.port: str(each)
            for each in said.listening
            if each not in (said.inference_address, management)
        }
        own[inference.port] = "the inference API"
        where = _LOOPBACK if management_host is None else management_host
        number = port_of_management(management_port, own, where)
        chosen["management_address"] = _moved(management, where, number)
    elif inference.endpoint == management.endpoint and not said.is_single_listener:
        raise PortUnusable(
            f"{inference} would be that of the inference API and of management ({said.quoted('management_address')}); "
            "--port and --management-port choose other ones"
        )
    return chosen


def _moved(address: Address, host: str | None, port: int | None) -> Address:
    """Return an address with another host or port; one of a socket's file gives way to the usual one."""
    from mms.settings import Address

    if address.scheme == "unix":
        address = Address("http", _LOOPBACK, INFERENCE_PORT)
    if host is not None:
        address = replace(address, host=host.strip("[]"))
    return address if port is None else replace(address, port=port)


def _listen(host: str, port: int) -> int:
    """Listen for a moment. Returns the port, which is another one for port 0. Raises OSError."""
    family, *_, address = socket.getaddrinfo(
        *(host.strip("[]"), port),
        type=socket.SOCK_STREAM,
        flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV,
    )[0]
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        return int(probe.getsockname()[1])


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
