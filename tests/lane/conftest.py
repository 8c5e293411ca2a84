"""A lane over real sockets, in front of a host that the test plays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import uvloop
from support.played_host import PlayedHost
from support.streams import Streams
from support.waiting import until

from mms.core.request import Buffer
from mms.errors import ServerError
from mms.http.answers import ErrorForm
from mms.http.lane.connection import LaneProtocol
from mms.http.lane.front import LaneFront
from mms.http.lane.head import LaneRoute
from mms.limits.memory import MemoryLimit
from mms.observe import RecentErrors


class PlainAnswers:
    """Heads with nothing but what framing needs."""

    def head(
        self,
        request_id: bytes,
        status: int,
        phrase: bytes,
        headers: bytes,
        body_bytes: int,
        is_kept_alive: bool,
    ) -> bytes:
        connection = b"keep-alive" if is_kept_alive else b"close"
        return b"HTTP/1.1 %d %b\r\n%bcontent-length: %d\r\nconnection: %b\r\n\r\n" % (
            status,
            phrase,
            headers,
            body_bytes,
            connection,
        )

    def whole(self, request_id: bytes, phrase: bytes, headers: bytes, body: Buffer) -> bytes:
        return self.head(request_id, 200, phrase, headers, len(body), True) + bytes(body)

    def error(
        self,
        request_id: bytes,
        error: ServerError,
        is_kept_alive: bool,
        form: ErrorForm | None = None,
        lines: bytes = b"",
    ) -> tuple[bytes, bytes]:
        headers, body = b"", (error.message or "").encode()
        if form is not None:
            headers, body = form(error)
        headers = lines + headers
        return self.head(
            request_id, error.http_status, b"", headers, len(body), is_kept_alive
        ), body


class Foreign(asyncio.Protocol):
    """Stands for aiohttp's protocol: keeps what it is given, answers once, and closes."""

    taken: list[bytes]

    def __init__(self, taken: list[bytes]) -> None:
        self.taken = taken

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.taken.append(data)
        self.transport.write(b"HTTP/1.1 299 Foreign\r\ncontent-length: 0\r\n\r\n")  # type: ignore[attr-defined]
        self.transport.close()


def route(path: bytes) -> LaneRoute | None:
    parts = path.decode("latin-1").split("/")
    if len(parts) == 3 and parts[1] == "predictions":
        return LaneRoute(parts[2])
    return None


class Bench:
    """A listening lane."""

    def __init__(self) -> None:
        self.host = PlayedHost(m="mms", one="mms", other="mms", another="mms")
        self.records: list[tuple[object, ...]] = []
        self.foreign: list[bytes] = []
        self.errors = RecentErrors()
        self.lane = LaneFront(
            self.host,
            PlainAnswers(),
            self.records.append,
            self.errors.note,
            lambda: Foreign(self.foreign),
            route,
            max_body_bytes=1_000_000,
            keep_alive_timeout_s=60,
            head_timeout_s=60,
            body_timeout_s=60,
            memory=MemoryLimit(32 << 20, 512 << 20, 6_553_500),
            make_connection=LaneProtocol,
        )
        self.port = 0
        self._streams = Streams()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await self._streams.open(self.port)

    async def close(self) -> None:
        """Have all connections end, on both sides, before the loop does."""
        self.lane.close()
        await self._streams.close()
        await until(lambda: not self.lane.connections, "the lane has no connections")

    async def exchange(self, data: bytes) -> bytes:
        """Send, close the sending side, and read all that comes until the end."""
        reader, writer = await self.connect()
        writer.write(data)
        writer.write_eof()
        received = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return received


def pytest_asyncio_loop_factories(config: object, item: object) -> dict[str, object]:
    """Both loops: uvloop, which the server uses where it exists, and asyncio's own."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    b = Bench()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(b.lane.make_protocol, "127.0.0.1", 0)
    b.port = server.sockets[0].getsockname()[1]
    yield b
    server.close()
    await b.close()
