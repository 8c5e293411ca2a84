"""Processes that hold clients' connections: real ones, before protocols of the tests."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from typing import cast

import psutil
import pytest
from support.waiting import until

from mms.limits.connections import ConnectionLimit
from mms.settings import Address, Settings
from mms.sockets.front_processes.frames import CREDIT_BYTES
from mms.sockets.front_processes.front_listener import FrontListener
from mms.sockets.front_processes.front_processes import FrontProcesses
from mms.sockets.tls import Certificates

WAIT_S = 20.0
#: Of a process, in bytes: an idle one has 30 MB.
MOST_RSS = 80 << 20


class Echo(asyncio.Protocol):
    """Sends back what comes; `flood` gets more than anybody takes, and after `stop` nothing is read."""

    def __init__(self, connections: set[Echo]) -> None:
        self.connections = connections
        self.transport = cast(asyncio.Transport, None)
        self.is_paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.connections.discard(self)

    def pause_writing(self) -> None:
        self.is_paused = True

    def data_received(self, data: bytes) -> None:
        if data == b"flood":
            while not self.is_paused:
                self.transport.write(bytes(10_000))
        elif data == b"stop":
            self.transport.pause_reading()
        else:
            self.transport.write(data)


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def echo(self, data: bytes = b"hello") -> None:
        self.writer.write(data)
        answer = await asyncio.wait_for(self.reader.readexactly(len(data)), WAIT_S)
        assert answer == data

    async def is_closed(self) -> bool:
        with contextlib.suppress(ConnectionResetError):
            return await asyncio.wait_for(self.reader.read(1), WAIT_S) == b""
        return True


class Served:
    def __init__(self, count: int) -> None:
        settings = Settings()
        self.certificates = Certificates(settings)
        self.processes = FrontProcesses(
            count,
            self.certificates.parts_of,
            most_connections=2000,
            is_hidden=False,
            temp_dir=settings.temp_dir,
        )
        self.connections: set[Echo] = set()
        self.listeners: list[FrontListener] = []
        self.ports: list[int] = []
        self.clients: list[Client] = []

    async def listen(self, scheme: str = "http") -> None:
        listener = await self.processes.listen(
            Address(scheme, "127.0.0.1", 0),
            lambda: Echo(self.connections),
            self.certificates.context() if scheme == "https" else None,
            ConnectionLimit(2000),
        )
        (port,) = {each.getsockname()[1] for each in listener.sockets}
        self.listeners.append(listener)
        self.ports.append(port)

    async def close(self) -> None:
        for client in self.clients:
            client.writer.transport.abort()
        for listener in self.listeners:
            listener.close()
        await self.processes.close()

    async def connect(
        self, context: ssl.SSLContext | None = None, *, listener: int = 0, limit: int = 2**16
    ) -> Client:
        port = self.ports[listener]
        streams = await asyncio.open_connection("127.0.0.1", port, ssl=context, limit=limit)
        self.clients.append(Client(*streams))
        return self.clients[-1]

    def held(self) -> list[int]:
        """How many connections each process has."""
        return [count.connections for count in self.processes.counts()]

    def pids(self) -> list[int]:
        return [count.pid for count in self.processes.counts()]


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """One process, whose second listener has TLS."""
    served = Served(1)
    await served.listen()
    await served.listen("https")
    await served.processes.start()
    try:
        yield served
    finally:
        await served.close()


async def test_clients_are_served_over_both_and_leave_nothing_behind(served: Served) -> None:
    untrusting = ssl.create_default_context()
    untrusting.check_hostname, untrusting.verify_mode = False, ssl.CERT_NONE
    for context, listener in ((None, 0), (untrusting, 1)):
        client = await served.connect(context, listener=listener)
        await client.echo(os.urandom(3_000_000))
        (protocol,) = served.connections
        host, port = client.writer.get_extra_info("sockname")
        assert protocol.transport.get_extra_info("peername") == (host, port)
        assert (protocol.transport.get_extra_info("sslcontext") is None) == (context is None)
        client.writer.close()
        await until(lambda: not served.connections and served.held() == [0])
    # One that is not open yet for the process is none for the owner, either.
    with socket.create_connection(("127.0.0.1", served.ports[1])):
        client = await served.connect()
        await client.echo()
        assert served.held() == [1]


async def test_a_client_that_takes_or_is_given_nothing_holds_up_itself_alone(
    served: Served,
) -> None:
    others = [await served.connect(limit=2**10) for _ in range(100)]
    for number, client in enumerate(others):
        client.writer.write(b"flood" if number % 2 else b"stop")
    await until(lambda: sum(each.is_paused for each in served.connections) == 50)
    sockets = [client.writer.transport for client in others[::2]]
    await until(lambda: sum(not each.transport.is_reading() for each in served.connections) == 50)
    for transport in sockets:
        transport.write(bytes(8_000_000))
    client = await served.connect()
    for _ in range(100):
        await client.echo(b"x" * 10_000)
    assert psutil.Process(*served.pids()).memory_info().rss < MOST_RSS
    for protocol in served.connections:
        # The system's buffers are full long before.
        held = sum(map(len, protocol.transport._held))  # type: ignore[attr-defined]
        assert held <= CREDIT_BYTES
        assert protocol.transport.get_write_buffer_size() < 2 * CREDIT_BYTES
    for each in others:
        each.writer.transport.abort()
    # Whoever is not read from is found to be gone when it is.
    for protocol in served.connections:
        protocol.transport.resume_reading()
    await until(lambda: len(served.connections) == 1)


async def test_a_killed_process_takes_its_own_clients_along_and_another_one_takes_its_place() -> (
    None
):
    served = Served(2)
    await served.listen()
    await served.processes.start()
    try:
        clients = [await served.connect() for _ in range(60)]
        for client in clients:
            await client.echo()
        held = served.held()
        assert sum(held) == 60
        assert all(held), "the system spreads them"
        before = served.pids()
        os.kill(before[0], signal.SIGKILL)
        await until(lambda: len(served.connections) == held[1])
        # Nobody is refused meanwhile, wherever the system leads them.
        later = [await served.connect() for _ in range(40)]
        for client in later:
            await client.echo()
        await until(lambda: served.pids()[0] not in (0, before[0]))
        await until(lambda: [each.restarts for each in served.processes.counts()] == [1, 0])
        closed = 0
        for client in clients:
            try:
                await client.echo()
            except (asyncio.IncompleteReadError, ConnectionError):
                closed += 1
        assert closed == held[0]
        for client in later:
            await client.echo()
        # In the end it takes new clients itself.
        while not served.held()[0]:
            await (await served.connect()).echo()
    finally:
        await served.close()


async def test_a_process_ends_with_its_owner(served: Served) -> None:
    client = await served.connect()
    await client.echo()
    (pid,) = served.pids()
    os.kill(pid, signal.SIGTERM)
    await client.echo(b"a signal to stop is the owner's affair")
    await served.close()
    assert not psutil.pid_exists(pid)
    assert await client.is_closed()
    assert not served.connections


async def test_a_process_that_hangs_is_killed_and_its_clients_are_led_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mms.sockets.front_processes.front_processes._BEAT_S", 0.1)
    served = Served(1)
    await served.listen()
    await served.processes.start()
    try:
        client = await served.connect()
        await client.echo()
        (pid,) = served.pids()
        os.kill(pid, signal.SIGSTOP)
        assert await client.is_closed()
        await (await served.connect()).echo()
        await until(lambda: [each.restarts for each in served.processes.counts()] == [1])
    finally:
        await served.close()


async def test_a_process_that_hangs_ends_with_its_owner(served: Served) -> None:
    (pid,) = served.pids()
    os.kill(pid, signal.SIGSTOP)
    await served.close()
    assert not psutil.pid_exists(pid)


async def test_a_process_that_comes_up_after_the_end_of_listening_listens_no_more() -> None:
    served = Served(1)
    await served.listen()
    starting = asyncio.ensure_future(served.processes.start())
    await until(lambda: served.pids()[0])
    served.listeners[0].close()
    await starting
    try:
        with contextlib.suppress(ConnectionRefusedError, ConnectionResetError):
            while True:
                client = await served.connect()
                client.writer.transport.abort()
    finally:
        await served.close()


async def test_a_thousand_clients_are_served_at_once(served: Served) -> None:
    clients = await asyncio.gather(*(served.connect() for _ in range(1000)))
    await asyncio.gather(*(client.echo() for client in clients))
    assert served.held() == [1000]
    for client in clients:
        client.writer.transport.abort()
    await until(lambda: not served.connections)
