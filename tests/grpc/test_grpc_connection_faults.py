"""What one connection of gRPC runs into concerns it alone: others, and the timer, go on.

Each row of the table is a function that a connection's transport, a timer or a model's answer comes through. It raises
once, for one client, while another has a connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gzip
import inspect
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from front_serving import PROTOBUF_LINE, Served, serve
from support.waiting import until
from test_http2_connections import PREDICT, RawClient, connected, message

import mms.grpc.connection
import mms.grpc.front
import mms.interfaces.seldon.front.grpc
from mms import faults
from mms.bodies.inflation import Inflation
from mms.core import Request
from mms.grpc import frames
from mms.grpc.answers import AnswerWriter
from mms.grpc.call import Call
from mms.grpc.connection import GrpcConnection
from mms.grpc.front import GrpcFront
from mms.grpc.inflow import Inflow
from mms.grpc.turns import FrameTurns
from mms.interfaces.oip.front.messages import CLASSES, SERVICE
from mms.limits.inflating import Inflater

_STREAM_INFER = f"/{SERVICE}/ModelStreamInfer"
_REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
#: What a client may wait for anything, in seconds. Nothing here takes a tenth of it.
_LIMIT_S = 20.0
#: More than the buffers of two sockets take.
_LARGE = 6 << 20

#: What the table leaves out, and why.
_NOT_IN_THE_PATH = {
    "GrpcConnection": {
        # Ends a connection; where that fails there is no other way.
        "abort",
        # Of the server's end.
        "leave",
    },
    "Call": {
        # Ends the connection, after something has failed.
        "abort",
        # Lets nothing out: its steps are in the table.
        "_finish_inflation",
        # Of the server's end.
        "leave",
    },
    "Inflow": set[str](),
    "AnswerWriter": set[str](),
    # Of the server's end.
    "Inflater": {"close"},
    "Inflation": set[str](),
    # Lets nothing out: the steps that it calls are in the table.
    "FrameTurns": {"_begin_turn"},
    "GrpcFront": {
        # Of the server's begin and end.
        *("_add", "start", "stop_listening", "drain", "close"),
        # Only where the server has keys.
        "enter",
        # Only where a connection is the only one.
        "dispatch_due",
        # Its listener has no connection then.
        "_make_connection",
    },
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
        *(GrpcConnection, Call, Inflow, AnswerWriter),
        *(Inflater, Inflation, FrameTurns, GrpcFront),
    )
    for row in _functions(owner)
]


def _behave(request: Request) -> None:
    """Answer in another turn of the loop; a request of `keep` stays under way."""
    body = bytes(request.body)
    if body == b"keep":
        return
    answer = bytes(_LARGE) if body == b"large" else body
    delay_s = 0.03 if body == b"slow" else 0.0
    loop = asyncio.get_running_loop()
    loop.call_later(delay_s, request.answer, 200, b"OK", PROTOBUF_LINE, answer)


def _compressed(body: bytes) -> bytes:
    packed = gzip.compress(body)
    return struct.pack(">BI", 1, len(packed)) + packed


class Talk:
    """What one client says, and hears, on a connection of its own."""

    def __init__(self, scene: Scene, raw: RawClient) -> None:
        self.scene = scene
        self.raw = raw
        #: What is sent of messages once there is a window for it, by their streams.
        self.rest: dict[int, bytes] = {}
        # What answers there are comes at once.
        raw.begin({frames.INITIAL_WINDOW_SIZE: 2 * _LARGE, frames.MAX_FRAME_SIZE: 1 << 20})
        raw.write(frames.window_update(0, 2 * _LARGE))

    def begin(self, stream_id: int, path: str = PREDICT, **headers: str) -> None:
        self.raw.write(self.raw.headers(stream_id, self.raw.block(path, **headers)))

    def send(self, stream_id: int, payload: bytes, *, is_end: bool = True) -> None:
        """Send some of a call's messages, in frames as large as they may be."""
        frame_bytes = frames.DEFAULT_FRAME_BYTES
        pieces = [payload[at : at + frame_bytes] for at in range(0, len(payload), frame_bytes)]
        *first, last = pieces or [b""]
        for piece in first:
            self.raw.write(self.raw.data(stream_id, piece, 0))
        self.raw.write(self.raw.data(stream_id, last, frames.END_STREAM if is_end else 0))

    def call(self, stream_id: int, body: bytes) -> None:
        self.begin(stream_id)
        self.send(stream_id, message(body))

    async def hear(self, *streams: int) -> None:
        """Until all of them have ended, each with an answer, a status or a reset."""
        ended: set[int] = set()
        while not ended.issuperset(streams):
            kind, flags, stream_id, _ = await self.raw.frame()
            if kind == frames.WINDOW_UPDATE and stream_id in self.rest:
                self.send(stream_id, self.rest.pop(stream_id))
            is_end = kind in (frames.DATA, frames.HEADERS) and flags & frames.END_STREAM
            if is_end or kind == frames.RST_STREAM:
                ended.add(stream_id)

    @contextlib.asynccontextmanager
    async def another(self) -> AsyncIterator[Talk]:
        """One more client."""
        async with connected(self.scene.served) as raw:
            yield Talk(self.scene, raw)

    async def hear_end(self) -> None:
        await self.raw.reader.read()

    async def until(self, probe: Callable[[GrpcConnection], bool]) -> None:
        """Until it is so with one of the connections, which may not come to pass once something has raised."""
        front = self.scene.served.front
        await until(lambda: self.scene.raised or any(map(probe, front.connections)))


async def _ordinary(talk: Talk) -> None:
    talk.call(1, b"x")
    await talk.hear(1)
    # A head in two frames, and a message in three.
    block = talk.raw.block()
    first, rest = block[:9], block[9:]
    talk.raw.write(frames.frame_header(len(first), frames.HEADERS, 0, 3) + first)
    last_flags = frames.END_HEADERS
    talk.raw.write(frames.frame_header(len(rest), frames.CONTINUATION, last_flags, 3) + rest)
    content = message(bytes(3000))
    talk.send(3, content[:3], is_end=False)
    talk.send(3, content[3:100], is_end=False)
    talk.send(3, content[100:])
    await talk.hear(3)


async def _refused(talk: Talk) -> None:
    talk.begin(1, seldon="unknown")
    talk.send(1, message(b"x"))
    talk.begin(3, "/none/None")
    talk.send(3, message(b"x"))
    talk.begin(5, pseudo_method="GET")
    talk.send(5, b"")
    talk.begin(7)
    talk.send(7, b"ab")
    talk.call(9, b"keep")
    # Behind the end of its stream.
    talk.send(9, b"more")
    await talk.hear(1, 3, 5, 7, 9)
    talk.send(99, b"of no call")
    await talk.hear_end()


async def _compressing(talk: Talk) -> None:
    for stream_id, size in ((1, 1000), (3, 300_000)):
        talk.begin(stream_id, grpc_encoding="gzip")
        talk.send(stream_id, _compressed(bytes(size)))
    await talk.hear(1, 3)


async def _streaming(talk: Talk) -> None:
    question = b"\x3a\x01*"
    talk.begin(1, _REFLECTION, grpc_encoding="gzip")
    talk.send(1, message(question), is_end=False)
    talk.send(1, _compressed(question), is_end=False)
    talk.send(1, _compressed(question + bytes(300_000))[:9], is_end=False)
    await talk.raw.next_of(frames.DATA, frames.RST_STREAM)
    talk.raw.write(frames.rst_stream(1, frames.CANCEL))
    talk.begin(3, _REFLECTION)
    talk.send(3, message(question))
    await talk.hear(3)


async def _streaming_requests(talk: Talk) -> None:
    """Messages that are requests of their own, and counted as such."""
    request = CLASSES["ModelInferRequest"](model_name="iris").SerializeToString()
    talk.begin(1, _STREAM_INFER)
    talk.send(1, message(request) * 2)
    await talk.hear(1)


async def _expiring(talk: Talk) -> None:
    talk.begin(1, grpc_timeout="20m")
    talk.send(1, message(b"keep"))
    await talk.hear(1)


async def _cancelling(talk: Talk) -> None:
    talk.call(1, b"keep")
    talk.raw.write(frames.rst_stream(1, frames.CANCEL))
    talk.call(3, b"x")
    await talk.hear(3)
    talk.raw.write(frames.frame_header(8, frames.GOAWAY, 0, 0) + bytes(8))
    await talk.hear_end()


async def _half_closed(talk: Talk) -> None:
    talk.begin(1)
    talk.send(1, b"\0", is_end=False)
    talk.call(3, b"slow")
    talk.raw.writer.write_eof()
    await talk.raw.next_of(frames.PING)
    await talk.hear(3)


async def _many_frames(talk: Talk) -> None:
    many = 300
    talk.raw.write(frames.ping(b"12345678", is_answer=False) * many)
    for _ in range(many):
        await talk.raw.next_of(frames.PING)


async def _narrow(talk: Talk) -> None:
    """Answers that wait for a window."""
    talk.raw.write(frames.settings({frames.INITIAL_WINDOW_SIZE: 1000}))
    talk.call(1, bytes(3000))
    talk.call(3, bytes(3000))
    await talk.raw.next_of(frames.DATA)
    talk.raw.write(frames.window_update(1, 1000) + frames.window_update(0, 1000))
    talk.raw.write(frames.rst_stream(3, frames.CANCEL) + frames.window_update(1, 9000))
    await talk.hear(1)


async def _late_reader(talk: Talk) -> None:
    """An answer that a client takes some time after it asked."""
    talk.call(1, b"large")
    await talk.until(lambda found: found._writer.is_paused)
    await talk.hear(1)


async def _large_messages(talk: Talk) -> None:
    """More clients than there is memory for send large messages."""
    whole = message(bytes(700_000))
    at_first = 48_000

    def begin(talk: Talk, *streams: int) -> None:
        for stream_id in streams:
            talk.begin(stream_id)
            talk.send(stream_id, whole[:at_first], is_end=False)
            talk.rest[stream_id] = whole[at_first:]

    async with talk.another() as second, talk.another() as third:
        for each in (talk, second):
            begin(each, 1)
            await each.until(lambda found: found._inflow._whole_bytes > at_first)
        begin(third, 1, 3, 5)
        await third.until(lambda found: found._is_held)
        await asyncio.gather(
            *(each.hear(*each.rest) for each in (talk, second, third)), return_exceptions=True
        )


async def _of_http1(talk: Talk) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", talk.scene.served.port)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    await reader.read()
    writer.close()


TALKS = [
    *(_ordinary, _refused, _compressing, _streaming, _streaming_requests),
    *(_expiring, _cancelling, _half_closed),
    *(_many_frames, _narrow, _late_reader, _large_messages, _of_http1),
]


class Scene:
    """A client with a connection that is kept, while others pass by."""

    def __init__(self, served: Served, raw: RawClient) -> None:
        self.served = served
        self.raw = raw
        self.raised: list[Row] = []
        self.calls = 0

    async def ask(self) -> None:
        """The kept connection is served."""
        stream_id = 2 * self.calls + 1
        self.calls += 1
        self.raw.call(stream_id, b"kept")
        body, headers = await asyncio.wait_for(self.raw.answer(stream_id), _LIMIT_S)
        assert (body, headers["grpc-status"]) == (message(b"kept"), "0")

    async def talk(self, talk: Callable[[Talk], Awaitable[None]]) -> None:
        """One client's connection, which may end at any time."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            async with connected(self.served) as raw:
                await asyncio.wait_for(talk(Talk(self, raw)), _LIMIT_S)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def scene() -> AsyncIterator[Scene]:
    patch = pytest.MonkeyPatch()
    patch.setattr(mms.limits.connection_sweep, "SWEEP_S", 0.01)
    patch.setattr(mms.grpc.connection, "PROBE_S", 0.01)
    asyncio.get_running_loop().set_exception_handler(faults.on_loop_exception)
    limits = {"max_buffered_memory": 1 << 20, "max_connection_memory": 32 << 20}
    async with serve(**limits) as served, connected(served) as raw:
        served.host.on_submit = _behave
        raw.begin()
        yield Scene(served, raw)
    patch.undo()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("row", TABLE, ids=str)
async def test_what_raises_once_on_a_connection_ends_that_one_at_most(
    scene: Scene, row: Row, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await scene.ask()
    front = scene.served.front
    (kept,) = front.connections
    function = getattr(row.owner, row.name)
    # What ends a connection is around a function, not in it.
    inner = inspect.unwrap(function)
    scene.raised.clear()

    def of_kept(found: Any) -> bool:
        return kept in (found, getattr(found, "connection", None)) or found in (
            *(kept._writer, kept._inflow),
        )

    def raise_once(*arguments: Any, **more: Any) -> Any:
        if not scene.raised and not any(map(of_kept, arguments)):
            scene.raised.append(row)
            raise Injected(str(row))
        return inner(*arguments, **more)

    async def raise_once_later(*arguments: Any, **more: Any) -> Any:
        return await raise_once(*arguments, **more)

    replacement: Any = raise_once_later if inspect.iscoroutinefunction(inner) else raise_once
    functools.update_wrapper(replacement, inner)
    if inner is not function:
        replacement = faults.ends_connection(replacement)
    before = sum(faults.counts().values())
    monkeypatch.setattr(row.owner, row.name, replacement)
    for talk in TALKS:
        await scene.talk(talk)
        if scene.raised:
            break
    assert scene.raised, "nothing has called it"
    assert sum(faults.counts().values()) > before
    assert f"Injected: {row}" in caplog.text
    await scene.ask()
    # The others are forgotten, and so is what they held.
    await until(lambda: front.connections == {kept})
    assert front.memory.held_bytes == 0
    assert not front.memory.waiting and front.memory.first is None


@pytest.mark.asyncio(loop_scope="module")
async def test_a_call_whose_reply_takes_neither_answer_nor_failure_ends_its_connection(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(*arguments: Any) -> None:
        raise Injected

    await scene.ask()
    with monkeypatch.context() as patch:
        for name in ("answer", "fail"):
            patch.setattr(mms.interfaces.seldon.front.grpc._Answer, name, lose)
        async with connected(scene.served) as raw:
            raw.begin()
            raw.call(1, b"x")
            await asyncio.wait_for(raw.end(), _LIMIT_S)
    await scene.ask()
