"""What an interface has of gRPC: the services of its clients' protocol."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mms.grpc.call import Method
from mms.interfaces import INTERFACES, part

if TYPE_CHECKING:
    from mms.serving import ModelHost
    from mms.settings import Settings


class InterfaceServices(ABC):
    """The services of one interface."""

    @classmethod
    @abstractmethod
    def of(cls, settings: Settings, host: ModelHost) -> InterfaceServices:
        """Return the services of a server."""

    @abstractmethod
    def files(self) -> list[tuple[Any, list[str]]]:
        """Return (descriptor pool, names of services) for reflection."""

    @abstractmethod
    def methods(self) -> Iterable[Method]:
        """Return what clients may call."""


def interface_services(settings: Settings, host: ModelHost) -> list[InterfaceServices]:
    """Return the services of all interfaces that have some."""
    return [
        part(interface.grpc_services).of(settings, host)
        for interface in INTERFACES
        if interface.grpc_services
    ]
