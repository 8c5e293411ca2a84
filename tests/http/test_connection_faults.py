"""Whatever a connection of the lane runs into concerns that connection alone: others, and the timer, go on.

Each row of the table is a function of the connection. It raises once, for one client, while another has a connection.
"""

from __future__ import annotations

import asyncio
import inspect
from functools import partial
from typing import Any

import pytest
from support.waiting import until

import mms.http.lane_front
import mms.http.protocol
from mms import faults
from mms.http.lane import LaneProtocol

_LIMIT_S = 20.0
_ASK = b"GET /predictions/m HTTP/1.1\r\nHost: h\r\n\r\n"
_LAST = b"GET /predictions/m HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
_POST = (
    b"POST /predictions/m HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
)
_UNKNOWN = b"GET /predictions/none HTTP/1.1\r\nHost: h\r\n\r\n"
_OF_AIOHTTP = b"GET /models HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
#: What a client does on connections of its own. The last one sends a part of a head, and waits for its end.
_DAY = (
    _ASK + _LAST,
    _POST % 9 + b"some body",
    _POST % 600_000 + bytes(600_000),
    _UNKNOWN,
    _OF_AIOHTTP,
    b"GET /pi",
)
TABLE = [
    "_begin_body",
    "_hand_over",
    "_read",
    "_send",
    "_submit",
    "_take_body",
    "answer",
    "check_time",
    "data_received",
    "eof_received",
    "fail",
    "grow",
]


class Injected(Exception):
    """What nothing foresaw."""


async def _ask(writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> bytes:
    writer.write(_ASK)
    return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _LIMIT_S)


async def _half_closed(bench: Any) -> bytes:
    """What a client hears that closes its sending side behind its request."""
    reader, writer = await bench.connect()
    writer.write(_ASK)
    writer.write_eof()
    received: bytes = await reader.read()
    writer.transport.abort()
    return received


@pytest.mark.parametrize("name", TABLE)
async def test_what_raises_once_on_a_connection_ends_that_one_at_most(
    make_bench: Any, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mms.http.lane_front, "_SWEEP_S", 0.02)
    asyncio.get_running_loop().set_exception_handler(faults.on_loop_exception)
    bench = await make_bench(lane=True, head_timeout_s=0.1)
    reader, writer = await bench.connect()
    assert (await _ask(writer, reader)).startswith(b"HTTP/1.1 200 ")
    port = writer.get_extra_info("sockname")[1]
    function = getattr(LaneProtocol, name)
    assert inspect.isfunction(function)
    raised: list[str] = []

    def raise_once(connection: LaneProtocol, *arguments: Any, **more: Any) -> Any:
        if not raised and not connection._remote.endswith(f":{port}"):
            raised.append(name)
            raise Injected(name)
        return function(connection, *arguments, **more)

    before = sum(faults.counts().values())
    monkeypatch.setattr(LaneProtocol, name, raise_once)
    talks = [partial(bench.exchange, sent) for sent in _DAY]
    if name == "eof_received":
        talks = [partial(_half_closed, bench)]
    for talk in talks:
        try:
            received = await asyncio.wait_for(talk(), _LIMIT_S)
        except ConnectionResetError:
            received = b""
        assert received == b"" or received.startswith(b"HTTP/1.1 ")
    assert raised
    assert sum(faults.counts().values()) > before
    assert f"Injected: {name}" in caplog.text
    assert (await _ask(writer, reader)).startswith(b"HTTP/1.1 200 ")
    await until(lambda: bench.front.connection_count == 1)
    # The timer still ends who is too slow.
    assert await asyncio.wait_for(bench.exchange(b"GET /pi"), _LIMIT_S) == b""
    writer.transport.abort()


async def test_a_look_that_raises_ends_that_connection_alone_behind_aiohttp(
    make_bench: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mms.http.protocol, "_SWEEP_S", 0.02)
    bench = await make_bench(lane=False, head_timeout_s=0.1)
    handler = mms.http.protocol._Handler
    function = handler.check_reader
    raised: list[Any] = []

    def raise_once(connection: Any, *arguments: Any) -> None:
        if not raised:
            raised.append(connection)
            raise Injected("check_reader")
        function(connection, *arguments)

    monkeypatch.setattr(handler, "check_reader", raise_once)
    assert await asyncio.wait_for(bench.exchange(b""), _LIMIT_S) == b""
    assert "Injected: check_reader" in caplog.text
    # The timer still ends who is too slow, and others are served.
    assert await asyncio.wait_for(bench.exchange(b"GET /pi"), _LIMIT_S) == b""
    reader, writer = await bench.connect()
    assert (await _ask(writer, reader)).startswith(b"HTTP/1.1 200 ")
    writer.transport.abort()
