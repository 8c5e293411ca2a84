"""What an interface has of the HTTP API: the routes of its clients' protocol."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from mms.http.answers import ErrorForm
from mms.http.apis.model_asker import ModelAsker
from mms.http.routing import Route
from mms.interfaces import INTERFACES, part

if TYPE_CHECKING:
    from mms.security.guard import Guard
    from mms.serving import ModelHost
    from mms.settings import Settings


class InterfaceApi(ABC):
    """The routes of one interface. There are three places for them among the server's own."""

    #: How the front's errors look on a listener of its own; None: as MMS's.
    error_form: ErrorForm | None = None

    @classmethod
    @abstractmethod
    def of(cls, settings: Settings, host: ModelHost, asker: ModelAsker) -> InterfaceApi:
        """Return the API of a server."""

    def use_guard(self, guard: Guard) -> None:
        """Learn who checks the keys of requests. Called once, where requests need keys, before routes are asked for."""
        return

    def shared_routes(self) -> list[Route]:
        """Return the rows of a tree that other interfaces have rows of. They come first, and say whom they concern."""
        return []

    def routes(self) -> list[Route]:
        """Return the rows that come before the server's own."""
        return []

    def management_routes(self) -> list[Route]:
        """Return the rows that come before the server's own of the management API."""
        return []

    def routes_beside_others(self) -> list[Route]:
        """Return the rows for what no other row has. They come last."""
        return []

    def all_routes(self) -> list[Route]:
        """Return the rows of a listener without another API."""
        return []


def interface_apis(
    settings: Settings, host: ModelHost, asker: ModelAsker
) -> dict[str, InterfaceApi]:
    """Return the APIs of all interfaces that have one, by name."""
    found: dict[str, InterfaceApi] = {}
    for interface in INTERFACES:
        if interface.http_api:
            found[interface.name] = part(interface.http_api).of(settings, host, asker)
    return found
