"""What may listen where: management where only this machine reaches it, or behind keys or client certificates."""

from __future__ import annotations

import ipaddress
import logging
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from mms.errors import ConfigurationError
from mms.interfaces import INTERFACES, find_interface, part
from mms.security.roles import Role

if TYPE_CHECKING:
    from mms.settings import Address, Settings

logger = logging.getLogger("mms.security")

_PREFIX = "Invalid configuration: "
#: The file that SageMaker's inference toolkit writes, which names no variable of SageMaker's.
_TOOLKIT_FILE = "sagemaker-mms.properties"


def is_loopback(address: Address) -> bool:
    """Return whether only this machine reaches it. A name counts by what it stands for here, all of it."""
    if address.scheme == "unix":
        return True
    host = address.host
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        pass
    if host.lower() == "localhost":
        return True
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        # It cannot be bound either.
        return False
    return all(ipaddress.ip_address(str(f[4][0]).partition("%")[0]).is_loopback for f in found)


def check_exposure(settings: Settings) -> None:
    """Raise ConfigurationError for a configuration that lets anybody in, or that protects less than it says."""
    tls = [address for address in settings.listening if address.is_tls]
    if settings.tls_client_ca and not tls:
        raise ConfigurationError(
            f"{_PREFIX}{settings.quoted('tls_client_ca')}: no listener has TLS, so no client shows a certificate; "
            "make an address https:// (grpcs:// for gRPC)"
        )
    if not settings.keystore and not settings.private_key_file and not settings.allow_self_signed:
        for address in tls:
            if not is_loopback(address):
                raise ConfigurationError(
                    f"{_PREFIX}{address} has no certificate: set private_key_file and certificate_file, or keystore; "
                    "allow_self_signed=true makes the server create one, which clients cannot verify"
                )
    reference = "" if settings.stands_for is None else _safety_of(settings.stands_for)
    if reference and part(reference)(settings):
        return
    _check_management(settings, "management_address", settings.management_address)
    for interface in INTERFACES:
        name = interface.grpc_management_setting
        listener = settings.get(name) if name else None
        if listener is not None:
            _check_management(settings, name, listener)


def _safety_of(interface: str) -> str:
    return find_interface(interface).is_management_safe


def _check_management(settings: Settings, name: str, address: Address) -> None:
    if is_loopback(address):
        return
    if settings.keys_file and Role.MANAGEMENT.value not in settings.open_roles:
        if not address.is_tls:
            logger.warning(
                "Keys for %s cross the network in plain text; https:// hides them.", address
            )
        return
    if settings.tls_client_ca and address.is_tls:
        return
    if settings.allow_open_management:
        logger.warning(
            "allow_open_management=true: anybody who can connect to %s can run code on this machine.",
            address,
        )
        return
    if _is_sagemakers(settings):
        logger.warning(
            "Management listens on %s as SageMaker needs it: anybody who can connect to it can run code here.",
            address,
        )
        return
    raise ConfigurationError(
        f"{_PREFIX}{settings.quoted(name)} can be reached from other machines, and anybody who reaches "
        "it can run code here. Require keys (keys_file=FILE, made by `mms keys create`) or client certificates "
        "(https:// with tls_client_ca=FILE); or listen on 127.0.0.1; or set allow_open_management=true"
    )


def _is_sagemakers(settings: Settings) -> bool:
    """Return whether it is for SageMaker, which demands all on one port and lets nobody else reach it."""
    is_made_for_it = settings.is_sagemaker or Path(settings.config_file or "").name == _TOOLKIT_FILE
    return settings.is_single_listener and is_made_for_it
