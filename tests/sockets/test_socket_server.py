"""Connections of a TLS listener before they are any."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.waiting import until

from mms.limits.connections import ConnectionLimit
from mms.settings import Address, Settings
from mms.sockets import socket_server
from mms.sockets.listeners import listen
from mms.sockets.socket_server import SocketServer
from mms.sockets.tls import make_context

WAIT_S = 10.0


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[attr-defined]  # a stream's


class Served:
    def __init__(self, server: SocketServer, limit: ConnectionLimit) -> None:
        self.server = server
        self.limit = limit
        self.port = server.sockets[0].getsockname()[1]

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Without a handshake."""
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def echo(self) -> bytes:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context)
        writer.write(b"hello")
        answer = await asyncio.wait_for(reader.readexactly(5), WAIT_S)
        writer.close()
        return answer


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    limit = ConnectionLimit(2)
    server: Any = await listen(
        Address("https", "127.0.0.1", 0), Echo, make_context(Settings()), limit
    )
    yield Served(server, limit)
    server.close()


async def test_handshakes_count_among_the_connections(served: Served) -> None:
    silent = [await served.connect() for _ in range(2)]
    await until(lambda: served.limit.count() == 2)
    reader, writer = await served.connect()
    assert await asyncio.wait_for(reader.read(), WAIT_S) == b""
    for open_writer in (writer, *(writer for _, writer in silent)):
        open_writer.close()
    await until(lambda: served.limit.count() == 0)
    assert await served.echo() == b"hello"


async def test_a_handshake_that_takes_too_long_ends_its_connection(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_server, "_HANDSHAKE_S", 0.1)
    reader, writer = await served.connect()
    assert await asyncio.wait_for(reader.read(), WAIT_S) == b""
    await until(lambda: served.limit.count() == 0)
    writer.close()


async def test_what_is_no_tls_ends_its_own_connection_alone(served: Served) -> None:
    reader, writer = await served.connect()
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    await asyncio.wait_for(reader.read(), WAIT_S)
    await until(lambda: served.limit.count() == 0)
    assert await served.echo() == b"hello"
    writer.close()


async def test_handshakes_end_with_the_listener(served: Served) -> None:
    reader, writer = await served.connect()
    await until(lambda: served.limit.count() == 1)
    served.server.close()
    assert await asyncio.wait_for(reader.read(), WAIT_S) == b""
    await until(lambda: served.limit.count() == 0)
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await served.connect()


async def test_handshakes_that_are_under_way_take_their_own_room_alone(served: Served) -> None:
    served.limit.most = 20
    silent = [await served.connect() for _ in range(10)]
    await until(lambda: served.limit.count() == 10)
    clients = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(10)]
    served.server._accept(served.server.sockets[0])
    assert served.limit.room() == 0
    for client in clients:
        client.close()
    for _, writer in silent:
        writer.close()
    await until(lambda: served.limit.count() == 0)


async def test_an_exception_in_a_handshake_ends_its_connection_and_is_noted(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Loop:
        create_task = staticmethod(asyncio.get_running_loop().create_task)

        async def connect_accepted_socket(self, *arguments: Any, **options: Any) -> None:
            raise RuntimeError("unforeseen")

    with monkeypatch.context() as patched:
        patched.setattr(served.server, "_loop", Loop())
        reader, writer = await served.connect()
        assert await asyncio.wait_for(reader.read(), WAIT_S) == b""
    writer.close()
    assert "Unexpected error in connection" in caplog.text
    assert await served.echo() == b"hello"


async def test_connections_are_taken_again_once_the_system_has_some_to_give(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(socket_server, "_RETRY_S", 0.01)
    real = socket.socket.accept
    failures = 3

    def accept(listening: socket.socket) -> Any:
        nonlocal failures
        if failures:
            failures -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return real(listening)

    monkeypatch.setattr(socket.socket, "accept", accept)
    with caplog.at_level(logging.ERROR):
        assert await served.echo() == b"hello"
    assert failures == 0
    assert "No connection can be taken: Too many open files." in caplog.text


def test_connections_of_all_fronts_count_together_and_operators_have_a_few_to_spare() -> None:
    counts = [10, 5]
    limit = ConnectionLimit(16)
    for n in range(2):
        limit.add(lambda n=n: counts[n])  # type: ignore[misc]  # bound now
    assert not limit.is_full()
    limit.handshakes.add(object())
    assert limit.is_full()
    assert not limit.is_full(has_spare=True)
    counts[1] = 7
    assert limit.is_full(has_spare=True)


@pytest.mark.parametrize("scheme", ["http", "unix"])
def test_many_clients_that_come_at_once_wait_for_few_turns_of_the_loop(
    scheme: str, tmp_path: Path
) -> None:
    uvloop = pytest.importorskip("uvloop", reason="other loops take many by themselves")
    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(_come_at_once(scheme, tmp_path))
    finally:
        loop.close()


async def _come_at_once(scheme: str, tmp_path: Path) -> None:
    made: list[asyncio.BaseTransport] = []

    class Counted(Echo):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            made.append(transport)

    is_unix = scheme == "unix"
    address = (
        Address("unix", path=str(tmp_path / "s")) if is_unix else Address("http", "127.0.0.1", 0)
    )
    server: Any = await listen(address, Counted, None)
    family = socket.AF_UNIX if is_unix else socket.AF_INET
    clients = [socket.socket(family) for _ in range(60)]
    for client in clients:
        client.connect(server.sockets[0].getsockname())
    turns = 0
    try:
        while len(made) < len(clients) and turns < 1000:
            turns += 1
            await asyncio.sleep(0)
    finally:
        for transport in made:
            transport.close()
        for client in clients:
            client.close()
        server.close()
        # What is left open would keep the loop from ending.
        await asyncio.sleep(0.01)
    assert len(made) == len(clients)
    assert turns <= 20
