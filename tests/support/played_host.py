"""A host of models without models, for tests of what stands before it: lane, HTTP and gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from mms.core import Registry, Request
from mms.errors import ModelNotFound, ServiceUnavailable
from mms.serving import Outcome, RegisterOptions
from mms.serving.operations import Operations


def echo(request: Request) -> None:
    request.answer(200, b"", b"", bytes(request.body))


class PlayedHost:
    """Models by the names of their interfaces. Keeps what it was asked, and answers as `on_submit` says.

    Where that is None a request stays under way.
    """

    def __init__(self, **interfaces: str) -> None:
        self.registry: Registry[Any] = Registry()
        self.interfaces = interfaces
        self.operations = Operations()
        self.graphs: set[str] = set()
        self.users: dict[str, list[str]] = {}
        self.ready = True
        self.health = "Healthy"
        self.has_loaded = False
        self.requests: list[Request] = []
        self.cancelled: list[Request] = []
        self.registered: list[RegisterOptions] = []
        self.scaled: list[tuple[Any, ...]] = []
        self.dispatches = 0
        self.arrived = asyncio.Event()
        self.was_cancelled = asyncio.Event()
        self.on_submit: Callable[[Request], object] | None = echo

    # Requests

    def submit(self, request: Request) -> None:
        self.check_model(request.name)
        self.requests.append(request)
        self.arrived.set()
        if self.on_submit is not None:
            self.on_submit(request)

    def cancel(self, request: Request) -> None:
        request.is_done = True
        self.cancelled.append(request)
        self.was_cancelled.set()

    def dispatch_due(self) -> None:
        self.dispatches += 1

    # Models

    def change_interfaces(self, **interfaces: str) -> None:
        """Other models are registered from now on."""
        self.interfaces = interfaces
        self.registry.changed()

    def check_model(self, name: str, version: str | None = None) -> None:
        if name not in self.interfaces:
            raise ModelNotFound(f"Model not found: {name}")

    def check_room(self, name: str, version: str | None = None) -> None:
        self.check_model(name, version)

    def has_model(self, name: str, version: str | None = None) -> bool:
        return name in self.interfaces

    async def learn_interface(self, name: str) -> str:
        return self.interface_of(name)

    def interface_of(self, name: str) -> str:
        self.check_model(name)
        return self.interfaces[name]

    def names_of_interface(self, interface: str) -> list[str]:
        return [name for name, own in self.interfaces.items() if own == interface]

    def users_of(self, name: str) -> list[str]:
        return self.users.get(name, [])

    def is_graph(self, name: str) -> bool:
        return name in self.graphs

    def is_ready(self, name: str) -> bool:
        self.check_model(name)
        return self.ready

    def not_loaded(self, name: str) -> ServiceUnavailable:
        return ServiceUnavailable(f"No worker has loaded model {name} yet.", retry_after_s=1)

    def default_model_name(self) -> str | None:
        return None

    # Management

    def ping(self) -> str:
        return self.health

    def problems(self) -> list[str]:
        return [] if self.health == "Healthy" else ["Something is wrong."]

    def problems_of(self, name: str, version: str | None = None) -> list[str]:
        self.check_model(name, version)
        return [] if self.ready else ["No worker has loaded."]

    def is_anything_loaded(self) -> bool:
        return self.has_loaded

    def list_models(self) -> list[tuple[str, str]]:
        return [(name, f"{name}.mar") for name in "abc"]

    def model_infos(self) -> list[Any]:
        return [("m", "m.mar", "service:handle", [(True, 5)])]

    async def describe(self, name: str, version: str | None = None) -> dict[str, Any]:
        self.check_model(name)
        return {"modelName": name, "modelVersion": version}

    async def register(self, options: RegisterOptions, *, is_kept: bool = True) -> Outcome:
        self.registered.append(options)
        return Outcome(200, None, "registered")

    async def scale(self, *arguments: Any) -> Outcome:
        self.scaled.append(arguments)
        return Outcome(210, "Partial Success", "partly")
