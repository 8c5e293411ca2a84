"""Whatever a connection of the lane runs into concerns that connection alone: others, and the timer, go on.

Each row of the table is a function that a connection's transport, a timer or a model's answer comes through. It raises
once, for one client, while another has a connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import socket
import struct
from collections.abc import Callable, Coroutine, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from support.waiting import until

import mms.http.lane.front
import mms.http.lane.lifetime
import mms.http.web.connection
import mms.http.web.server
from mms import faults
from mms.core import Request
from mms.core.streams.open_stream import OpenStream
from mms.core.streams.replies import begin_stream
from mms.http.apis.model_asker import FutureReply
from mms.http.lane.account import LaneAccount
from mms.http.lane.body import BodyReader
from mms.http.lane.connection import LaneProtocol
from mms.http.lane.front import LaneFront
from mms.http.lane.lifetime import LaneLifetime
from mms.http.web.connection import Connection, Connections
from mms.limits.connection_sweep import ConnectionSweep
from mms.limits.memory import MemoryAccount, MemoryLimit

_LIMIT_S = 20.0
#: Long for a client, and short enough for a test that waits until the server has lost it.
_PATIENCE_S = 2.0
_ASK = b"GET /predictions/m HTTP/1.1\r\nHost: h\r\n\r\n"
_LAST = b"GET /predictions/m HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
_POST = (
    b"POST /predictions/m HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
)
_KEPT_POST = _POST.replace(b"Connection: close\r\n", b"")
_CHUNKED = (
    b"POST /predictions/m HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1\r\n"
)
_UNKNOWN = b"GET /predictions/none HTTP/1.1\r\nHost: h\r\n\r\n"
_OF_AIOHTTP = b"GET /models HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
#: More than the buffers of two sockets take.
_LARGE = 6 << 20
#: Has a deadline, and is too large for the event loop to look for it.
_TENSORS = b'{"parameters": {"timeout": 60000000}, "inputs": ["' + b"a" * 100_000 + b'"]}'
_INFER = _POST.replace(b"/predictions/m", b"/v2/models/m/infer") % len(_TENSORS) + _TENSORS

#: What the table leaves out, and why.
_NOT_IN_THE_PATH = {
    # Ends a connection; where that fails there is no other way.
    "LaneProtocol": {"give_up"},
    "LaneLifetime": {
        # For people, and asked by nothing else.
        *("statistics", "is_idle"),
        # End a connection as well. Rows end connections by them.
        *("abort", "reset"),
        # Of the server's end, and of a change of models.
        *("leave", "forget_head"),
    },
    "LaneFront": {
        # Of the server's end, and of a change of models.
        *("leave", "close_idle", "close", "forget_routes"),
        # The sweep has its own test.
        "_end_lingering",
    },
    # Made of settings, for people, and called by the server's own timer.
    "MemoryLimit": {"of_settings", "waiting", "give_back"},
    "MemoryAccount": set[str](),
    "LaneAccount": set[str](),
    "BodyReader": set[str](),
    # Asked by nothing else, what comes after something has failed, and of the server's end.
    "Connection": {
        *("is_busy", "abort", "leave"),
        # What aiohttp is told, and nothing else.
        *("pause_writing", "resume_writing"),
    },
    # Of the server's end.
    "Connections": {"leave", "close"},
}


class Injected(Exception):
    """What nothing foresaw."""


class Row(NamedTuple):
    owner: type
    name: str

    def __str__(self) -> str:
        return f"{self.owner.__name__}.{self.name}"


def _functions(owner: type) -> list[Row]:
    left_out = _NOT_IN_THE_PATH[owner.__name__]
    assert left_out <= set(vars(owner))
    return [
        Row(owner, name)
        for name, member in vars(owner).items()
        if inspect.isfunction(member) and not name.startswith("__") and name not in left_out
    ]


TABLE = [
    row
    for owner in (
        *(LaneProtocol, LaneLifetime, BodyReader, LaneAccount),
        *(MemoryAccount, MemoryLimit, LaneFront),
    )
    for row in _functions(owner)
]


TABLE_BEHIND_AIOHTTP = [row for owner in (Connection, Connections) for row in _functions(owner)]
_LIMITS = {
    "head_timeout_s": 0.05,
    "body_timeout_s": 0.1,
    "max_buffered_memory": 1 << 20,
    "max_connection_memory": 32 << 20,
}


async def _ask(writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> bytes:
    writer.write(_ASK)
    return await asyncio.wait_for(_read_answer(reader), _LIMIT_S)


async def _read_answer(reader: asyncio.StreamReader) -> bytes:
    """The head of one that is read whole."""
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r")[0]))
    return head


def _slow(head: bytes) -> bytes:
    """The head of a request that is answered a little later."""
    return head.replace(b"Host", b"slow: 1\r\nHost")


def _overlapped(head: bytes) -> bytes:
    """The head of a request that the lane answers once the body of the next one has begun."""
    return head.replace(b"Host", b"overlapped: 1\r\nHost")


def _streamed(head: bytes) -> bytes:
    """The head of a request whose answer comes in parts."""
    return head.replace(b"Host", b"streamed: 1\r\nHost")


def _answer_in_parts(request: Request) -> None:
    stream = OpenStream(1, request, 0.0, lambda number, more: None)
    if begin_stream(request, (200, b"", b""), stream, 1 << 20):
        request.send_chunk(b"part")
    # Behind what the part is written by.
    asyncio.get_running_loop().call_soon(request.end_stream)


def _answer_later(request: Request) -> None:
    """In another turn of the loop, with what was sent."""
    loop = asyncio.get_running_loop()
    delay_s = 0.03 if b"slow" in request.headers else 0.0
    connection = request.reply

    def answer() -> None:
        if (
            b"overlapped" in request.headers
            and isinstance(connection, LaneProtocol)
            and connection._reader is None
            and not connection._is_closing
        ):
            loop.call_later(0.002, answer)
        elif b"streamed" in request.headers:
            _answer_in_parts(request)
        else:
            request.answer(200, b"", b"", bytes(request.body))

    loop.call_later(delay_s, answer)


#: On a machine that stands still for a moment, connections may be taken for idle before what they send is read.
_DAYS = 3


class Day:
    """What clients do in the course of a day, each on a connection of its own."""

    def __init__(self, bench: Any, *, rests: bool = True) -> None:
        """`rests`: connections without a request end soon."""
        self._bench = bench
        self._rests = rests

    async def talk(self, *pieces: bytes, is_half_closed: bool = False) -> bytes:
        """All that a client hears which sends these pieces."""
        reader, writer = await self._bench.connect()
        received = b""
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            if is_half_closed:
                writer.write_eof()
            received = await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()
        assert received == b"" or received.startswith(b"HTTP/1.")
        return received

    async def leaves(self) -> None:
        """A client that is gone before it has its answer."""
        reader, writer = await self._bench.connect()
        # Its end is a reset.
        on, seconds = 1, 0
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", on, seconds)
        )
        with contextlib.suppress(ConnectionError):
            writer.write(_ASK + _slow(_ASK) + _POST % 600_000 + bytes(300_000))
            await reader.read(1)
        writer.transport.abort()

    async def takes_its_time(self) -> None:
        """A client that sends a second body in two parts, and reads the answer to its first in between."""
        reader, writer = await self._bench.connect()
        first = _overlapped(_KEPT_POST % _LARGE) + bytes(_LARGE)
        writer.write(first + _POST % 600_000 + bytes(300_000))
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await writer.drain()
            await _read_answer(reader)
            writer.write(bytes(300_000))
            await reader.read()
        writer.transport.abort()

    def talks(self) -> list[Callable[[], Coroutine[Any, Any, Any]]]:
        body = bytes(600_000)
        talk = functools.partial
        return [
            talk(self.talk, _ASK + _LAST),
            # More than are served at once, with one that another protocol serves, and a head in two pieces.
            talk(self.talk, _ASK * 50 + _OF_AIOHTTP),
            talk(self.talk, _ASK[:9], _ASK[9:] + _LAST),
            talk(self.talk, _POST % 9 + b"some", b" body"),
            talk(self.talk, _POST % _LARGE + bytes(_LARGE)),
            talk(self.talk, _INFER),
            talk(self.talk, _UNKNOWN.replace(b"Host: h\r\n", b"Host: h\r\nConnection: close\r\n")),
            talk(self.talk, _OF_AIOHTTP),
            talk(self.talk, b"nonsense\r\n\r\n"),
            talk(self.talk, _CHUNKED, b"no size\r\n"),
            talk(self.talk, _streamed(_LAST)),
            talk(
                self.talk,
                _streamed(_CHUNKED).replace(b"Host", b"Connection: close\r\nHost"),
                b"\r\n0\r\n\r\n",
            ),
            # A head, a request, bodies and nothing at all that do not come.
            talk(self.talk, b"GET /pi"),
            talk(self.talk, _POST % 9 + b"some"),
            talk(self.talk, _POST % len(body) + body[1:]),
            *([talk(self.talk)] if self._rests else []),
            talk(self.talk, _slow(_ASK), is_half_closed=True),
            talk(self.talk, _ASK + _POST % 600_000 + bytes(300_000), is_half_closed=True),
        ]

    @contextlib.contextmanager
    def patience(self) -> Iterator[None]:
        """The server has time for its clients meanwhile, however busy the machine is."""
        names = ("keep_alive_timeout_s", "head_timeout_s", "body_timeout_s", "reader_timeout_s")
        with pytest.MonkeyPatch.context() as patch:
            for listener in self._bench.front._listeners:
                for each in (listener.lane, listener.web.connections):
                    for name in names:
                        if hasattr(each, name):
                            patch.setattr(each, name, _PATIENCE_S)
            yield

    async def pass_by(self) -> None:
        """All of it at once, but for what has to come about while there is still memory for a body, and time."""
        with self.patience():
            await self.leaves()
            await self.takes_its_time()
            # A request line without an end.
            await self.talk(b"GET /" + b"a" * 40_000)
        await asyncio.gather(*(talk() for talk in self.talks()))
        await self.many()

    async def many(self) -> None:
        """More than the memory has room for."""
        body = bytes(1 << 20)
        await asyncio.gather(
            *(self.talk(_POST % len(body) + body[:300_000], body[300_000:]) for _ in range(4))
        )


class Scene:
    """A client with a connection that is kept, while others pass by."""

    def __init__(self, bench: Any) -> None:
        self.bench = bench

    @classmethod
    async def open(cls, bench: Any) -> Scene:
        asyncio.get_running_loop().set_exception_handler(faults.on_loop_exception)
        bench.host.on_submit = _answer_later
        bench.host.registry.add(
            SimpleNamespace(
                name="m", version=None, interface="mms", is_composite=False, takes_tensors=True
            )
        )
        self = cls(bench)
        self._reader, self._writer = await bench.connect()
        assert (await _ask(self._writer, self._reader)).startswith(b"HTTP/1.1 200 ")
        return self

    async def raise_once(
        self, row: Row, is_kept: Callable[[Any], bool], monkeypatch: pytest.MonkeyPatch, day: Day
    ) -> None:
        """All of a day, with one exception."""
        function = getattr(row.owner, row.name)
        # What ends a connection is around a function, not in it.
        inner = inspect.unwrap(function)
        raised: list[Row] = []

        def raise_once(*arguments: Any, **more: Any) -> Any:
            if not raised and not any(map(is_kept, arguments)):
                raised.append(row)
                raise Injected(str(row))
            return inner(*arguments, **more)

        async def raise_once_later(*arguments: Any, **more: Any) -> Any:
            return await raise_once(*arguments, **more)

        replacement = raise_once_later if inspect.iscoroutinefunction(inner) else raise_once
        functools.update_wrapper(replacement, inner)
        if inner is not function:
            replacement = faults.ends_connection(replacement)
        before = sum(faults.counts().values())
        monkeypatch.setattr(row.owner, row.name, replacement)
        for _ in range(_DAYS):
            await asyncio.wait_for(day.pass_by(), _LIMIT_S)
            if raised:
                break
        assert raised, "nothing has called it"
        assert sum(faults.counts().values()) > before

    async def goes_on(self, memory: MemoryLimit) -> None:
        """The one is served, the others are forgotten, and so is what they held."""
        writer, bench = self._writer, self.bench
        assert (await _ask(writer, self._reader)).startswith(b"HTTP/1.1 200 ")
        await until(lambda: bench.front.connection_count == 1)
        assert memory.held_bytes == 0
        assert not memory.waiting and memory.first is None
        # The timer still ends who is too slow.
        assert await asyncio.wait_for(Day(bench).talk(b"GET /pi"), _LIMIT_S) == b""
        writer.transport.abort()


@pytest.mark.parametrize("row", TABLE, ids=str)
async def test_what_raises_once_on_a_connection_ends_that_one_at_most(
    make_bench: Any, row: Row, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mms.limits.connection_sweep, "SWEEP_S", 0.01)
    monkeypatch.setattr(mms.http.lane.front, "LINGER_S", 0.02)
    monkeypatch.setattr(mms.http.lane.lifetime, "PROBE_S", 0.01)
    bench = await make_bench(lane=True, keep_alive_timeout_s=0.1, **_LIMITS)
    scene = await Scene.open(bench)
    (lane,) = (listener.lane for listener in bench.front._listeners if listener.lane.connections)
    (kept,) = lane.connections
    # The other one may rest for longer than those of the day.
    kept.waiting_since = float("inf")
    owners = (kept, kept._account)
    await scene.raise_once(row, lambda found: found in owners, monkeypatch, Day(bench))
    assert f"Injected: {row}" in caplog.text
    await scene.goes_on(lane.memory)


async def test_a_connection_whose_look_at_the_time_raises_ends_and_the_others_look_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mms.limits.connection_sweep, "SWEEP_S", 0.001)
    looks = asyncio.Queue[None]()
    ended = []

    class Played:
        def __init__(self, is_broken: bool) -> None:
            self.is_broken = is_broken

        def check_time(self, now: float) -> None:
            if self.is_broken:
                raise Injected
            looks.put_nowait(None)

        def abort(self) -> None:
            ended.append(self)
            raise Injected

    def after(now: float) -> None:
        raise Injected

    connections = [Played(True), Played(False)]
    sweep = ConnectionSweep(connections, after)
    sweep.start()
    for _ in range(2):
        await asyncio.wait_for(looks.get(), _LIMIT_S)
    sweep.stop()
    assert set(ended) == {connections[0]}


@pytest.mark.parametrize("owner", [LaneProtocol, FutureReply])
async def test_a_request_whose_reply_takes_neither_answer_nor_failure_ends_its_connection_at_most(
    make_bench: Any, owner: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = await make_bench(lane=owner is LaneProtocol)
    bench.host.on_submit = _answer_later
    kept_reader, kept_writer = await bench.connect()
    assert (await _ask(kept_writer, kept_reader)).startswith(b"HTTP/1.1 200 ")

    def lose(*arguments: Any) -> None:
        raise Injected

    with monkeypatch.context() as patch:
        patch.setattr(owner, "answer", lose)
        patch.setattr(owner, "fail", lose)
        received = await asyncio.wait_for(Day(bench).talk(_LAST), _LIMIT_S)
    # On the lane nothing can be said any more.
    assert received == b"" if owner is LaneProtocol else received.startswith(b"HTTP/1.1 500 ")
    assert (await _ask(kept_writer, kept_reader)).startswith(b"HTTP/1.1 200 ")
    kept_writer.transport.abort()


@pytest.mark.parametrize("row", TABLE_BEHIND_AIOHTTP, ids=str)
async def test_what_raises_once_on_a_connection_behind_aiohttp_ends_that_one_at_most(
    make_bench: Any, row: Row, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mms.limits.connection_sweep, "SWEEP_S", 0.01)
    monkeypatch.setattr(mms.http.web.connection, "_LOOK_S", 0.01)
    monkeypatch.setattr(mms.http.web.server, "_LINGER_S", 0.02)
    bench = await make_bench(lane=False, keep_alive_timeout_s=5, **_LIMITS)
    scene = await Scene.open(bench)
    (edge,) = (
        listener.web.connections
        for listener in bench.front._listeners
        if len(listener.web.connections)
    )
    (kept,) = edge
    await scene.raise_once(row, lambda found: found is kept, monkeypatch, Day(bench, rests=False))
    assert f"Injected: {row}" in caplog.text
    await scene.goes_on(edge.memory)
