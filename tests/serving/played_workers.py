"""Workers that the test's own process plays: real links and frames, without sockets and processes."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from mms.launch import LaunchFailed, LinkListener, WorkerLink, WorkerSpec
from mms.launch.accepting import PendingConnections, WorkerConnection
from mms.launch.connection import Link
from mms.launch.heartbeat import Heartbeats
from mms.launch.line_turns import Lines, LineTurns
from mms.wire import (
    BATCH,
    DRAIN,
    FAILED,
    HEARTBEAT,
    HELLO,
    IMPORTED,
    LAST,
    LOAD,
    LOADED,
    METRIC,
    ROLE_CONTROL,
    ROLE_WORK,
    STREAM,
    SUCCEEDED,
    UNFILLED,
    FrameDecoder,
    Hello,
    Loaded,
    Metric,
    ResultItem,
    decode_batch,
    encode_frame,
    encode_result,
)
from mms.wire.calls import Call, encode_call
from mms.wire.frames import READINESS
from mms.wire.messages import Readiness
from mms.wire.records import TRACKING, encode_records
from mms.wire.streams import BEGUN, END, encode_chunks, encode_number

#: More than any test sends at once, and less than would cost time.
_FRAME_BYTES = 1 << 20


class PlayedTransport:
    """The front's end of a connection whose other end is a function."""

    def __init__(
        self,
        protocol: asyncio.BufferedProtocol,
        take: Callable[[bytes], None],
        on_end: Callable[[], None],
    ) -> None:
        self._protocol = protocol
        self._take = take
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._is_closed = False

    def write(self, data: bytes) -> None:
        if not self._is_closed:
            self._loop.call_soon(self._take, bytes(data))

    def writelines(self, parts: Sequence[bytes]) -> None:
        self.write(b"".join(parts))

    def set_write_buffer_limits(self, high: int) -> None:
        return

    def is_closing(self) -> bool:
        return self._is_closed

    def pause_reading(self) -> None:
        """What comes meanwhile is passed on all the same: little does."""

    def resume_reading(self) -> None:
        return

    def get_extra_info(self, name: str) -> None:
        """There is no socket, whose other end the kernel could name."""

    def abort(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._loop.call_soon(self._protocol.connection_lost, None)
            self._loop.call_soon(self._on_end)

    close = abort

    def deliver(self, data: bytes) -> None:
        """Bytes from the other end, as a loop's transport passes them on."""
        self._loop.call_soon(self._deliver, data)

    def _deliver(self, data: bytes) -> None:
        if self._is_closed:
            return
        try:
            self._protocol.get_buffer(len(data))[: len(data)] = data
            self._protocol.buffer_updated(len(data))
        except Exception as error:
            self._loop.call_exception_handler({"message": "in a protocol", "exception": error})
            self.abort()


class PlayedWorker:
    """Answers batches by what their bodies say: `hang` has no answer, `tell` says more than its answer, that
    of `stream` comes in parts.

    `few` alone is too few for a batch; others echo.
    """

    def __init__(
        self,
        make: Callable[[], WorkerConnection],
        secret: str,
        calls: str,
        on_exit: Callable[[str], None],
        on_output: Callable[[str, str], None],
    ) -> None:
        """`on_output` gets what it prints: with processes that comes through pipes."""
        self._calls = calls
        self._printed = Lines[str](LineTurns(), partial(on_output, "stdout"), lambda: None)
        self._on_exit = on_exit
        self.is_hung = False
        #: Streams that it has begun, and those of them that it has ended.
        self._streams = self._streamed = 0
        self._decoders = {role: FrameDecoder(_FRAME_BYTES) for role in (ROLE_WORK, ROLE_CONTROL)}
        self.ends: dict[str, PlayedTransport] = {}
        for role in (ROLE_CONTROL, ROLE_WORK):
            connection = make()
            end = PlayedTransport(connection, partial(self._take, role), self.end)
            self.ends[role] = end
            connection.connection_made(end)  # type: ignore[arg-type]
            hello = Hello(secret, role)
            end.deliver(encode_frame(HELLO, 0, hello.to_payload()))

    def end(self) -> None:
        """As when its process is killed."""
        on_exit, self._on_exit = self._on_exit, lambda _: None
        for end in self.ends.values():
            end.abort()
        asyncio.get_running_loop().call_soon(on_exit, "exit code 0")

    def _say(self, kind: int, payload: bytes, sequence: int = 0) -> None:
        self.ends[ROLE_WORK].deliver(encode_frame(kind, sequence, payload))

    def _take(self, role: str, data: bytes) -> None:
        decoder = self._decoders[role]
        decoder.get_buffer()[: len(data)] = data
        for kind, sequence, payload, attachments in decoder.received(len(data)):
            if kind == LOAD:
                self._say(IMPORTED, b"")
                self._say(LOADED, Loaded(200, interface="mms", is_ready=False).to_payload())
                self._say(READINESS, Readiness(True).to_payload())
            elif kind == HEARTBEAT:
                self.ends[ROLE_CONTROL].deliver(encode_frame(HEARTBEAT, 0))
            elif kind == DRAIN:
                self.end()
            elif kind == BATCH:
                self._run(sequence, [item[6] for item in decode_batch(payload, attachments)])

    def _run(self, sequence: int, bodies: list[Any]) -> None:
        self.is_hung = self.is_hung or b"hang" in bodies
        if self.is_hung:
            return
        if b"tell" in bodies:
            self._printed.pass_on(["a line"])
            metrics = ["a.Count:1|#|#hostname:h,1"]
            self._say(METRIC, Metric(metrics, [{"name": "x"}]).to_payload())
            # More than are passed on at once.
            self._say(METRIC, Metric(metrics * 300, [{"name": "x"}] * 300).to_payload())
            self.ends[ROLE_WORK].deliver(b"".join(encode_records(TRACKING, [b"{}"])))
            self.ends[ROLE_WORK].deliver(encode_call(1, Call(self._calls, timeout_s=5.0), b"echo"))
        if bodies == [b"few"]:
            failed = [
                (0, FAILED, 503, b"", b"", b"Prediction failed"),
                (1, 0, 0, b"", b"", b"too few"),
            ]
            frames = encode_result(sequence, LAST | UNFILLED, 100_000, failed, 2)
            self.ends[ROLE_WORK].deliver(b"".join(frames))
            return
        items = [self._item(index, bytes(body)) for index, body in enumerate(bodies)]
        if b"tell" in bodies:
            # In parts.
            self.ends[ROLE_WORK].deliver(b"".join(encode_result(sequence, 0, 0, items[:1], 1)))
        frames = encode_result(sequence, LAST | SUCCEEDED, 100_000, items, len(items))
        self.ends[ROLE_WORK].deliver(b"".join(frames))
        for number in range(self._streamed + 1, self._streams + 1):
            # So large a part that more credit is given for it.
            parts = [(number, BEGUN, 200, b"", b"", bytes(40_000)), (number, END, 0, b"", b"", b"")]
            self.ends[ROLE_WORK].deliver(b"".join(encode_chunks(parts)))
        self._streamed = self._streams

    def _item(self, index: int, body: bytes) -> ResultItem:
        if body != b"stream":
            return index, 0, 200, b"", b"", body
        self._streams += 1
        return index, STREAM, 200, b"", b"", encode_number(self._streams)


class PlayedLauncher:
    """Plays the workers that it is asked for."""

    def __init__(self, heartbeat_timeout_s: float) -> None:
        self._links: dict[str, Link] = {}
        self._workers: dict[WorkerLink, PlayedWorker] = {}
        self._pending = PendingConnections(5.0)
        self._heartbeats = Heartbeats(heartbeat_timeout_s)

    async def start(self) -> None:
        return

    async def launch(
        self, spec: WorkerSpec, listener: LinkListener, timeout_s: float
    ) -> WorkerLink:
        secret = secrets.token_hex(8)
        link = self._links[secret] = Link(spec.name, spec.load, listener, spec.max_frame_bytes)
        worker = PlayedWorker(
            lambda: WorkerConnection(self._links.get, self._pending),
            secret,
            "called",
            link.on_exit,
            listener.on_output,
        )
        link.end_process = worker.end
        self._workers[link] = worker
        await asyncio.wait(
            (link.connected, link.closed), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        if link.closed.done():
            raise LaunchFailed(f"worker ended before it was up: {link.closed.result()}")
        link.loaded.add_done_callback(lambda _: self._heartbeats.watch(link))
        return link

    def is_hung(self, link: WorkerLink | None) -> bool:
        """Whether the worker has got what it never answers."""
        return link is not None and self._workers[link].is_hung

    def process_ids(self) -> list[int]:
        return []

    async def forget(self, key: str) -> None:
        return

    async def close(self) -> None:
        self._heartbeats.close()
