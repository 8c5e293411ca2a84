"""What an interface has of gRPC: the services of its clients' protocol."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from mms.grpc.call import Method
from mms.interfaces import INTERFACES, part

if TYPE_CHECKING:
    from mms.serving import ModelHost
    from mms.settings import Address, Settings


class InterfaceServices(ABC):
    """The services of one interface."""

    @classmethod
    @abstractmethod
    def of(cls, settings: Settings, host: ModelHost) -> InterfaceServices:
        """Return the services of a server."""

    def management(self) -> InterfaceServices | None:
        """Return its services for a listener of management; None where it has none."""
        return None

    @abstractmethod
    def files(self) -> list[tuple[Any, list[str]]]:
        """Return (descriptor pool, names of services) for reflection."""

    @abstractmethod
    def methods(self) -> Iterable[Method]:
        """Return what clients may call."""


class Place(NamedTuple):
    """Where gRPC listens, and what is served there."""

    address: Address
    services: list[InterfaceServices]


def places(settings: Settings, host: ModelHost) -> list[Place]:
    """Return all listeners. One address is one listener."""
    found: dict[tuple[str, int, str], Place] = {}
    if settings.grpc_address is not None:
        address = settings.grpc_address
        found[address.endpoint] = Place(address, interface_services(settings, host))
    for interface in INTERFACES:
        setting = interface.grpc_management_setting
        listener: Address | None = settings.get(setting) if setting else None
        if listener is None:
            continue
        service = part(interface.grpc_services).of(settings, host).management()
        found.setdefault(listener.endpoint, Place(listener, [])).services.append(service)
    return list(found.values())


def interface_services(settings: Settings, host: ModelHost) -> list[InterfaceServices]:
    """Return the services of all interfaces that have some."""
    return [
        part(interface.grpc_services).of(settings, host)
        for interface in INTERFACES
        if interface.grpc_services
    ]
