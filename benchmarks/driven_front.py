"""The front in one process, driven without sockets: what a request costs it is counted and not waited for.

All is real but the two ends: clients are transports that throw answers away, and the worker is a function that knows
what a worker would answer. So no system call, no other process and no event loop is in what is measured.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mms.http.listener import Listener
from mms.http.listener_apis import Apis, HttpApis
from mms.launch.accepting import PendingConnections, WorkerConnection
from mms.launch.connection import Link
from mms.launch.interface import LinkListener, WorkerLink, WorkerSpec
from mms.limits.inflating import Inflater
from mms.limits.memory import MemoryLimit
from mms.log_writer.lines import Lines, pack
from mms.log_writer.writer import LogWriter
from mms.observe import Recorder
from mms.observe.log_files.setup import LogOptions, Logs
from mms.observe.worker_events import WorkerEventLog
from mms.repository import Repository
from mms.repository.sources import Sources
from mms.serving import ModelHost, RegisterOptions
from mms.settings import Settings
from mms.wire import (
    BATCH,
    HELLO,
    LAST,
    LOADED,
    ROLE_CONTROL,
    ROLE_WORK,
    SUCCEEDED,
    FrameDecoder,
    Hello,
    Loaded,
    ResultItem,
    decode_batch,
    encode_frame,
    encode_result,
)

CONNECTIONS = 64
_FRAME_BYTES = 1 << 30
_ENTRY_POINT_NS = 1000


@dataclass(frozen=True)
class Kind:
    """What is asked and answered. `headers`: finished lines of the answers."""

    name: str
    interface: str
    path: str
    content_type: str
    body: bytes
    headers: bytes
    answer: bytes
    batch_size: int = 1


_ROW = json.dumps({"data": {"ndarray": [[column / 64 + 0.25 for column in range(64)]]}}).encode()
KINDS = (
    *(
        Kind(
            f"batch {batch_size}",
            "mms",
            "/predictions/noop",
            "application/octet-stream",
            bytes(1024),
            b"content-type: text/plain\r\n",
            b"OK",
            batch_size,
        )
        for batch_size in (1, 32)
    ),
    Kind(
        "seldon",
        "seldon",
        "/seldon/default/noop/api/v1.0/predictions",
        "application/json",
        _ROW,
        b"content-type: application/json\r\n",
        _ROW,
    ),
)


class _Client:
    """The transport of a client that takes everything."""

    def __init__(self) -> None:
        self.answers = 0

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 50000) if name == "peername" else None

    def write(self, data: bytes) -> None:
        self.answers += data.startswith(b"HTTP/1.1 200 ")

    def writelines(self, buffers: Sequence[bytes]) -> None:
        self.write(b"".join(buffers))

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        return

    abort = close


class _WorkerEnd:
    """The transport of a worker's connection: keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def writelines(self, buffers: Sequence[bytes]) -> None:
        self.written += buffers

    def set_write_buffer_limits(self, high: int) -> None:
        return

    def get_extra_info(self, name: str) -> None:
        return

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        return

    resume_reading = close = abort = pause_reading


class _Launcher:
    """Starts the one worker, which is not there."""

    def __init__(self, interface: str) -> None:
        self._interface = interface
        self._links: dict[str, Link] = {}
        self._pending = PendingConnections(60.0)
        self.work = _WorkerEnd()
        self.connection: WorkerConnection | None = None

    async def launch(
        self, spec: WorkerSpec, listener: LinkListener, timeout_s: float
    ) -> WorkerLink:
        secret = secrets.token_hex(8)
        link = self._links[secret] = Link(spec.name, spec.load, listener, spec.max_frame_bytes)
        for role, end in ((ROLE_CONTROL, _WorkerEnd()), (ROLE_WORK, self.work)):
            connection = WorkerConnection(self._links.get, self._pending)
            connection.connection_made(end)  # type: ignore[arg-type]
            give(connection, encode_frame(HELLO, 0, Hello(secret, role).to_payload()))
        self.connection = connection
        loaded = Loaded(200, interface=self._interface).to_payload()
        asyncio.get_running_loop().call_soon(give, connection, encode_frame(LOADED, 0, loaded))
        return link

    def end(self) -> None:
        """The worker ends."""
        if self.connection is not None:
            self.connection.connection_lost(None)

    def process_ids(self) -> list[int]:
        return []

    async def forget(self, key: str) -> None:
        return

    async def close(self) -> None:
        return


def give(connection: WorkerConnection, data: bytes) -> None:
    """Bytes of the worker's, as the loop's transport passes them on."""
    connection.get_buffer(len(data))[: len(data)] = data
    connection.buffer_updated(len(data))


class _NoWriter(LogWriter):
    """Has lines packed for a process that is not there."""

    dropped_lines = 0

    def put(self, items: Sequence[Lines]) -> None:
        pack(items)

    def wait_until_written(self, timeout_s: float) -> bool:
        return True

    def close(self) -> None:
        return


class _UnwrittenLogs(Logs):
    """Takes lines that nobody writes."""

    def _make_writer(self, stdout_fd: int, stderr_fd: int) -> LogWriter:
        return _NoWriter()


class DrivenFront:
    """A front with one model, one worker and 64 connections. `start` before all else."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.recorder = Recorder(_UnwrittenLogs(LogOptions()))
        self._folder = Path(tempfile.mkdtemp(prefix="mms-bench-"))
        self._launcher = _Launcher(kind.interface)
        self._decoder = FrameDecoder(_FRAME_BYTES)
        self._clients = [_Client() for _ in range(CONNECTIONS)]
        head = (
            f"POST {kind.path} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Length: {len(kind.body)}\r\n"
            f"Content-Type: {kind.content_type}\r\n\r\n"
        )
        self.request = head.encode() + kind.body

    async def start(self) -> None:
        store = self._folder / "store"
        manifest = {
            "runtime": "python",
            "model": {"modelName": "noop", "handler": "service:handle"},
        }
        (store / "noop" / "MAR-INF").mkdir(parents=True)
        (store / "noop" / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest))
        (store / "noop" / "service.py").write_text("def handle(data, context):\n    return data\n")
        settings = Settings()
        settings.put("job_queue_size", 10 * CONNECTIONS)
        self._repository = Repository(store, self._folder / "models", sources=Sources.of(None))
        self._host = ModelHost(
            settings,
            self._repository,
            self._launcher,
            WorkerEventLog(self.recorder, None),  # type: ignore[arg-type]  # no series are sent
        )
        self._host.dispatcher.record_batch = self.recorder.batches.append
        self._apis = HttpApis(
            settings,
            self._host,
            self.recorder,
            None,  # type: ignore[arg-type]  # nobody asks for metrics
            worker_count=1,
            access=None,
            memory=MemoryLimit.of_settings(settings),
            inflater=Inflater(settings.max_request_ratio),
        )
        options = {
            "url": "noop",
            "initial_workers": 1,
            "batch_size": self.kind.batch_size,
            "interface": self.kind.interface,
        }
        await self._host.register(RegisterOptions.of_members(options))
        listener = Listener(self._apis, Apis.INFERENCE, lambda: False)
        await listener.start()
        self._connections = [listener.make_protocol() for _ in self._clients]
        for connection, client in zip(self._connections, self._clients, strict=True):
            connection.connection_made(client)  # type: ignore[arg-type]
        self._listener = listener

    async def close(self) -> None:
        if self._listener.lane is not None:
            self._listener.lane.close()
        await self._listener.web.close()
        self._launcher.end()
        await self._host.drain(1)
        await self._host.close()
        await self._repository.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    # One turn of the loop, in its stages

    def read(self) -> None:
        """Each connection brings a request."""
        request = self.request
        for connection in self._connections:
            connection.data_received(request)

    def dispatch(self) -> None:
        self._host.dispatch_due()

    def work(self) -> bytes:
        """Return what the worker answers to all that it has been sent; not a part of the front."""
        data = b"".join(self._launcher.work.written)
        self._launcher.work.written.clear()
        out: list[Any] = []
        at = 0
        while at < len(data):
            buffer = self._decoder.get_buffer()
            size = min(len(buffer), len(data) - at)
            buffer[:size] = data[at : at + size]
            at += size
            for kind, sequence, payload, attachments in self._decoder.received(size):
                if kind == BATCH:
                    out += self._answers(sequence, len(decode_batch(payload, attachments)))
        return b"".join(out)

    def _answers(self, sequence: int, count: int) -> list[Any]:
        kind = self.kind
        items: list[ResultItem] = [
            (index, 0, 200, b"", kind.headers, kind.answer) for index in range(count)
        ]
        return encode_result(sequence, LAST | SUCCEEDED, _ENTRY_POINT_NS, items, count)

    def answer(self, results: bytes) -> None:
        """The worker's bytes come, in reads of the loop's size."""
        connection = self._launcher.connection
        assert connection is not None
        at = 0
        while at < len(results):
            buffer = connection.get_buffer(0)
            size = min(len(buffer), len(results) - at)
            buffer[:size] = results[at : at + size]
            connection.buffer_updated(size)
            at += size

    def record(self) -> None:
        self.recorder.flush()

    def turn(self) -> None:
        """A request of each client, from its bytes to its answer's bytes and its log lines."""
        self.read()
        self.dispatch()
        while results := self.work():
            self.answer(results)
        self.record()

    @property
    def answered(self) -> int:
        """Good answers so far."""
        return sum(client.answers for client in self._clients)
