"""The HTTP front over real sockets, in front of a host that the test plays."""

from __future__ import annotations

import asyncio
import functools
import importlib.metadata
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from support.played_host import PlayedHost
from support.processes import free_port
from support.streams import Streams

from mms.http import HttpFront
from mms.observe import ModelLines, RecentErrors
from mms.observe.metrics.aggregates import Aggregates
from mms.security import Access
from mms.settings import Settings

#: Each front looks for plugins among all installed packages, which are many here.
_entry_points = functools.cache(importlib.metadata.entry_points)


@pytest.fixture(scope="module", autouse=True)
def entry_points_are_read_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.metadata, "entry_points", _entry_points)
        yield


class Bench:
    """A front on one port of its own for both APIs."""

    def __init__(self, port: int, access: Access | None = None, **changes: Any) -> None:
        self.access = access
        self.host = PlayedHost(m="mms")
        self.records: list[tuple[Any, ...]] = []
        self.lines = ModelLines()
        self.settings = Settings()
        address = type(self.settings.inference_address)("http", "127.0.0.1", port)
        self.settings.inference_address = self.settings.management_address = address
        self.settings.management_hosts = ("h",)
        for name, value in changes.items():
            self.settings.put(name, value)
        self.port = port
        self._streams = Streams()

    async def start(self) -> None:
        recorder = SimpleNamespace(
            requests=self.records,
            errors=RecentErrors(),
            measured=Aggregates,
            model_lines=self.lines,
        )

        async def scrape(accept: str | None) -> tuple[str, bytes]:
            return "text/plain", b"metrics\n"

        self.front = HttpFront(
            self.settings,
            self.host,  # type: ignore[arg-type]
            recorder,  # type: ignore[arg-type]
            scrape,
            worker_count=3,
            access=self.access,
        )
        await self.front.start()

    async def stop(self) -> None:
        await self.front.stop_listening()
        await self.front.close()
        await self._streams.close()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await self._streams.open(self.port)

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
        hosts = [] if any(line.startswith("Host: ") for line in headers) else ["Host: h"]
        lines = [f"{method} {target} HTTP/1.1", *hosts, "Connection: close", *headers]
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
