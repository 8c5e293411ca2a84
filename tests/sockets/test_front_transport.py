"""A client's connection that a front process holds, as the owner's protocols see it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mms.sockets.front_processes.frames import (
    ABORT,
    BULK_CREDIT_BYTES,
    CLOSE,
    CREDIT,
    CREDIT_BYTES,
    DATA,
    END,
    GONE,
    HEADER,
    KIND_SHIFT,
    MOST_BYTES,
    RESET,
    WITH_PAYLOAD,
)
from mms.sockets.front_processes.link import Link
from mms.sockets.front_processes.transport import FrontTransport
from mms.sockets.reset import reset

NUMBER = 7


class Socket:
    """Keeps what the link sends."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data


class Protocol(asyncio.Protocol):
    def __init__(self) -> None:
        self.data = b""
        self.calls: list[str] = []
        self.stays_open = False

    def data_received(self, data: bytes) -> None:
        self.data += data

    def eof_received(self) -> bool:
        self.calls.append("eof")
        return self.stays_open

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append(f"lost {exc}")


class Body(asyncio.BufferedProtocol):
    """Has room of its own for a body, and then leaves the connection to another protocol."""

    def __init__(self, transport: FrontTransport, size: int, then: Protocol) -> None:
        self.body = bytearray(size)
        self.filled = 0
        self._transport = transport
        self._then = then

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self.body)[self.filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self.filled += nbytes
        # What has views cannot grow.
        self.body.append(0)
        self.body.pop()
        if self.filled == len(self.body):
            self._transport.set_protocol(self._then)


class Connection:
    """A transport on a link whose other end the test plays."""

    def __init__(self, **facts: Any) -> None:
        self.link = Link()
        self._socket = Socket()
        self.link.connection_made(self._socket)  # type: ignore[arg-type]
        self.transport = FrontTransport(self.link, NUMBER, facts)
        self.link.connections[NUMBER] = self.transport
        self.protocol = Protocol()
        self.transport.begin(self.protocol)

    def receive(self, kind: int, payload: bytes = b"", size: int = 0) -> None:
        size = size or len(payload)
        self.link.data_received(HEADER.pack(NUMBER, kind << KIND_SHIFT | size) + payload)

    async def sent(self) -> list[tuple[int, bytes | int]]:
        """(kind, payload or size) of each frame since the last call, and neighbours of data as one."""
        await asyncio.sleep(0)
        data, self._socket.data = self._socket.data, b""
        found: list[tuple[int, bytes | int]] = []
        while data:
            number, word = HEADER.unpack_from(data)
            assert number == NUMBER
            kind, size = word >> KIND_SHIFT, word & MOST_BYTES
            data = data[HEADER.size :]
            if kind not in WITH_PAYLOAD:
                found.append((kind, size))
                continue
            payload, data = data[:size], data[size:]
            if found and found[-1][0] == kind == DATA:
                payload = bytes(found.pop()[1]) + payload
            found.append((kind, payload))
        return found


async def test_no_more_is_sent_than_the_other_side_takes() -> None:
    connection = Connection()
    answer = bytes(range(256)) * 1024
    connection.transport.write(answer)
    assert await connection.sent() == [(DATA, answer[:CREDIT_BYTES])]
    assert connection.transport.get_write_buffer_size() == len(answer) - CREDIT_BYTES
    assert connection.protocol.calls == ["pause"]
    for at in range(CREDIT_BYTES, len(answer), 50_000):
        connection.receive(CREDIT, size=50_000)
        assert await connection.sent() == [(DATA, answer[at : at + 50_000])]
    assert connection.transport.get_write_buffer_size() == 0
    assert connection.protocol.calls == ["pause", "resume"]


async def test_frames_are_read_however_they_are_cut() -> None:
    connection = Connection()
    text = bytes(range(256))
    stream = b"".join(
        HEADER.pack(NUMBER, 16) + text[at : at + 16] for at in range(0, len(text), 16)
    )
    for at in range(0, len(stream), 5):
        connection.link.data_received(stream[at : at + 5])
    assert connection.protocol.data == text


async def test_what_nobody_reads_is_held_and_gets_no_more_credit() -> None:
    connection = Connection()
    connection.transport.pause_reading()
    connection.receive(DATA, bytes(CREDIT_BYTES))
    connection.receive(END)
    assert connection.protocol.data == b""
    assert await connection.sent() == []
    connection.protocol.stays_open = True
    connection.transport.resume_reading()
    assert connection.protocol.data == b"", "whoever resumes is in the midst of something"
    await asyncio.sleep(0)
    assert len(connection.protocol.data) == CREDIT_BYTES
    assert connection.protocol.calls == ["eof"]


async def test_what_is_read_gives_credit_by_halves() -> None:
    connection = Connection()
    connection.receive(DATA, bytes(1000))
    assert await connection.sent() == []
    connection.receive(DATA, bytes(CREDIT_BYTES // 2))
    assert await connection.sent() == [(CREDIT, CREDIT_BYTES // 2 + 1000)]


async def test_a_large_body_goes_to_its_place_and_what_follows_to_the_next_protocol() -> None:
    connection = Connection()
    then = connection.protocol
    body = Body(connection.transport, 100_000, then)
    connection.transport.set_protocol(body)
    assert await connection.sent() == [], "there may be no memory for it"
    connection.receive(DATA, b"a" * 60_000)
    assert await connection.sent() == [(CREDIT, BULK_CREDIT_BYTES - CREDIT_BYTES + 60_000)]
    connection.receive(DATA, b"b" * 40_000 + b"next")
    assert body.body == b"a" * 60_000 + b"b" * 40_000
    assert then.data == b"next"
    # No more comes than for any other connection, until what was granted for the body is used up.
    connection.receive(DATA, bytes(BULK_CREDIT_BYTES - 40_004 - CREDIT_BYTES // 2 - 1))
    assert await connection.sent() == []
    connection.receive(DATA, b"x")
    assert await connection.sent() == [(CREDIT, CREDIT_BYTES // 2)]


async def test_a_connection_closes_once_all_is_sent() -> None:
    connection = Connection()
    connection.transport.write(bytes(CREDIT_BYTES + 1))
    connection.transport.close()
    connection.transport.write(b"too late")
    assert await connection.sent() == [(DATA, bytes(CREDIT_BYTES))]
    assert connection.transport.get_write_buffer_size() == CREDIT_BYTES + 1
    connection.receive(CREDIT, size=CREDIT_BYTES)
    assert await connection.sent() == [(DATA, b"\0"), (CLOSE, 0)]
    assert connection.transport.get_write_buffer_size() == 1
    connection.receive(GONE)
    assert connection.protocol.calls == ["lost None"]
    assert not connection.link.connections


async def test_the_sending_side_ends_after_what_was_written() -> None:
    connection = Connection()
    connection.transport.write(b"all")
    connection.transport.write_eof()
    connection.transport.write(b"too late")
    assert await connection.sent() == [(DATA, b"all"), (END, 0)]
    assert connection.transport.can_write_eof()
    assert not Connection(sslcontext=True).transport.can_write_eof()


async def test_a_client_that_stops_sending_is_closed_unless_the_protocol_has_more_for_it() -> None:
    for stays_open, expected in ((True, []), (False, [(CLOSE, 0)])):
        connection = Connection()
        connection.protocol.stays_open = stays_open
        connection.receive(END)
        assert await connection.sent() == expected


@pytest.mark.parametrize(("end", "kind"), [(FrontTransport.abort, ABORT), (reset, RESET)])
async def test_an_aborted_connection_is_lost_at_once_and_only_once(end: Any, kind: int) -> None:
    connection = Connection()
    end(connection.transport)
    end(connection.transport)
    connection.receive(DATA, b"on its way")
    assert connection.protocol.calls == [], "not within the call"
    assert await connection.sent() == [(kind, 0)]
    connection.receive(GONE)
    assert connection.protocol.calls == ["lost None"]
    assert connection.protocol.data == b""


async def test_an_exception_of_a_protocol_ends_its_connection_alone() -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    connection = Connection()

    def fail(data: bytes) -> None:
        raise ValueError("unforeseen")

    connection.protocol.data_received = fail  # type: ignore[method-assign]
    connection.transport.set_protocol(connection.protocol)
    connection.receive(DATA, b"x")
    assert await connection.sent() == [(ABORT, 0)]
    assert connection.protocol.calls == ["lost None"]
    assert [str(context["exception"]) for context in reported] == ["unforeseen"]
