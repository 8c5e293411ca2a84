"""The HTTP front over real sockets, in front of a host that the test plays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from support.processes import free_port

from mms.core import Registry, Request
from mms.errors import ModelNotFound, ServiceUnavailable
from mms.http import HttpFront
from mms.serving import Outcome, RegisterOptions
from mms.settings import Settings


class FakeHost:
    """One model, `m`. Keeps what it was asked."""

    def __init__(self) -> None:
        self.registry: Registry[Any] = Registry()
        self.interfaces: dict[str, str] = {"m": "mms"}
        self.graphs: set[str] = set()
        self.users: dict[str, list[str]] = {}
        self.ready = True
        self.requests: list[Request] = []
        self.registered: list[RegisterOptions] = []
        self.scaled: list[tuple[Any, ...]] = []
        self.cancelled: list[Request] = []
        self.health = "Healthy"
        self.has_loaded = False
        self.arrived = asyncio.Event()
        self.was_cancelled = asyncio.Event()
        self.on_submit: Callable[[Request], None] | None = lambda r: r.answer(
            200, b"", b"", bytes(r.body)
        )

    def check_model(self, name: str, version: str | None = None) -> None:
        if name not in self.interfaces:
            raise ModelNotFound(f"Model not found: {name}")

    def has_model(self, name: str, version: str | None = None) -> bool:
        return name in self.interfaces

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

    def change_interfaces(self, **interfaces: str) -> None:
        """Other models are registered from now on."""
        self.interfaces = interfaces
        self.registry.changed()

    def check_room(self, name: str, version: str | None = None) -> None:
        self.check_model(name, version)

    def dispatch_due(self) -> None:
        return

    def submit(self, request: Request) -> None:
        self.check_model(request.name)
        self.requests.append(request)
        self.arrived.set()
        if self.on_submit is not None:
            self.on_submit(request)

    def cancel(self, request: Request) -> None:
        self.cancelled.append(request)
        self.was_cancelled.set()

    def default_model_name(self) -> str | None:
        return None

    def ping(self) -> str:
        return self.health

    def is_anything_loaded(self) -> bool:
        return self.has_loaded

    def list_models(self) -> list[tuple[str, str]]:
        return [(name, f"{name}.mar") for name in "abc"]

    def model_infos(self) -> list[Any]:
        return [("m", "m.mar", "service:handle", [(True, 5)])]

    def describe(self, name: str, version: str | None = None) -> dict[str, Any]:
        self.check_model(name)
        return {"modelName": name, "modelVersion": version}

    async def register(self, options: RegisterOptions) -> Outcome:
        self.registered.append(options)
        return Outcome(200, None, "registered")

    async def scale(self, *arguments: Any) -> Outcome:
        self.scaled.append(arguments)
        return Outcome(210, "Partial Success", "partly")


class Bench:
    """A front on one port of its own for both APIs."""

    def __init__(self, port: int, **changes: Any) -> None:
        self.host = FakeHost()
        self.records: list[tuple[Any, ...]] = []
        self.settings = Settings()
        address = type(self.settings.inference_address)("http", "127.0.0.1", port)
        self.settings.inference_address = self.settings.management_address = address
        self.settings.management_hosts = ("h",)
        for name, value in changes.items():
            setattr(self.settings, name, value)
        self.port = port

    async def start(self) -> None:
        recorder = SimpleNamespace(requests=self.records)

        async def scrape(accept: str | None) -> tuple[str, bytes]:
            return "text/plain", b"metrics\n"

        self.front = HttpFront(
            self.settings,
            self.host,  # type: ignore[arg-type]
            recorder,  # type: ignore[arg-type]
            scrape,
            worker_count=3,
        )
        await self.front.start()

    async def stop(self) -> None:
        await self.front.stop_listening()
        await self.front.close()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def exchange(self, data: bytes) -> bytes:
        """Send, and read all until the end of the connection."""
        reader, writer = await self.connect()
        writer.write(data)
        received = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        return received

    async def call(
        self, method: str, target: str, body: bytes = b"", *headers: str
    ) -> tuple[int, bytes, bytes]:
        """(status, head, body) of one request on a connection of its own."""
        lines = [f"{method} {target} HTTP/1.1", "Host: h", "Connection: close", *headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        data = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        head, _, rest = (await self.exchange(data)).partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), head, rest


@pytest.fixture
async def make_bench() -> AsyncIterator[Any]:
    benches: list[Bench] = []

    async def make(**changes: Any) -> Bench:
        bench = Bench(free_port(), **changes)
        benches.append(bench)
        await bench.start()
        return bench

    yield make
    for bench in benches:
        await bench.stop()


@pytest.fixture(params=[True, False], ids=["lane", "no-lane"])
async def bench(request: pytest.FixtureRequest, make_bench: Any) -> Bench:
    return await make_bench(lane=request.param)  # type: ignore[no-any-return]
