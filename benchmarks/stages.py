"""Where the front's own time goes: microseconds of Python for each stage of a prediction, without sockets.

The real lane, dispatcher, wire and worker-result code run against transports that throw away what they are given, so
system calls and the event loop are not in these figures. `python -m benchmarks.stages` prints them.
"""

from __future__ import annotations

import asyncio
import gc
import time
from dataclasses import dataclass
from typing import Any

import click

from mms.core import ModelConfig, ModelVersion, Pool, Request, Worker, WorkerState
from mms.http.answers import Answers
from mms.http.lane.connection import LaneProtocol
from mms.http.lane.front import LaneFront
from mms.http.lane.head import LaneRoute
from mms.launch.connection import Link, PendingConnections, WorkerConnection
from mms.limits.memory import MemoryLimit
from mms.observe.log_files.setup import LogOptions, Logs
from mms.observe.recorder import Recorder
from mms.serving.dispatcher import Dispatcher
from mms.serving.workers.runner import WorkerRunner
from mms.wire import LAST, SUCCEEDED, FrameDecoder, Load, decode_batch, encode_result

_CONNECTIONS = 64
_BODY_BYTES = 1024
#: As many batches as a quick worker is sent ahead.
_CREDITS = 32


class _Sink:
    """A transport whose other end is nobody."""

    def __init__(self, *, is_kept: bool = False) -> None:
        self.is_kept = is_kept
        self.pending = b""

    def get_extra_info(self, name: str) -> tuple[str, int]:
        return ("127.0.0.1", 1)

    def write(self, data: bytes) -> None:
        self.pending = self.pending + data if self.is_kept else b""

    def writelines(self, buffers: list[bytes]) -> None:
        self.write(b"".join(buffers))

    def close(self) -> None:
        return

    def set_write_buffer_limits(self, high: int = 0) -> None:
        return


@dataclass
class Stages:
    """Seconds, over all requests."""

    lane_s: float = 0.0
    dispatch_s: float = 0.0
    results_s: float = 0.0
    records_s: float = 0.0

    @property
    def total_s(self) -> float:
        return self.lane_s + self.dispatch_s + self.results_s + self.records_s


class _Unwritten(Logs):
    """Takes lines that no thread writes."""

    def discard(self) -> None:
        self._lines.clear()
        for texts in self._texts.values():
            texts.clear()


class _Host:
    def __init__(self, dispatcher: Dispatcher, model: ModelVersion) -> None:
        self._dispatcher = dispatcher
        self._model = model

    def submit(self, request: Request) -> None:
        self._dispatcher.submit(self._model, request)

    def dispatch_due(self) -> None:
        self._dispatcher.dispatch_due()

    def cancel(self, request: Request) -> None:
        return


def _answered(data: bytes, decoder: FrameDecoder) -> bytes:
    """Return what a worker would answer to these frames."""
    out: list[Any] = []
    at = 0
    while at < len(data):
        buffer = decoder.get_buffer()
        size = min(len(buffer), len(data) - at)
        buffer[:size] = data[at : at + size]
        at += size
        for _, sequence, payload, attachments in decoder.received(size):
            count = len(decode_batch(payload, attachments))
            items = [(i, 0, 200, b"", b"content-type: text/plain\r\n", b"OK") for i in range(count)]
            out += encode_result(sequence, LAST | SUCCEEDED, 1000, items, count)
    return b"".join(out)


async def measure(batch_size: int, turns: int, logs: _Unwritten) -> Stages:
    """Send `turns` times one request on each of 64 connections, all in one turn of the loop."""
    dispatcher = Dispatcher()
    model = ModelVersion("noop", None, ModelConfig(batch_size=batch_size))
    (worker,), _ = Pool(model).scale(1, 1)
    wire = _make_ready(worker, model, dispatcher)
    recorder = Recorder(logs)
    dispatcher.record_batch = recorder.batches.append
    lane = LaneFront(
        _Host(dispatcher, model),
        Answers([]),
        recorder.requests.append,
        asyncio.Protocol,
        lambda path: LaneRoute(path.decode().split("/")[2]),
        max_body_bytes=1 << 20,
        make_connection=LaneProtocol,
        keep_alive_timeout_s=60,
        head_timeout_s=60,
        body_timeout_s=60,
        memory=MemoryLimit(32 << 20, 512 << 20, 6_553_500),
    )
    connections = [lane.make_protocol() for _ in range(_CONNECTIONS)]
    for connection in connections:
        connection.connection_made(_Sink())  # type: ignore[arg-type]
    request = (
        b"POST /predictions/noop HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Length: %d\r\n"
        b"Content-Type: application/octet-stream\r\n\r\n" % _BODY_BYTES
    ) + bytes(_BODY_BYTES)
    link_end = WorkerConnection(lambda _: None, PendingConnections(1.0))
    link_end._link = worker.link
    decoder = FrameDecoder(1 << 30)
    stages = Stages()
    clock = time.perf_counter
    gc.collect()
    gc.freeze()
    for _ in range(turns):
        begun = clock()
        for connection in connections:
            connection.data_received(request)
        read = clock()
        dispatcher.dispatch_due()
        stages.lane_s += read - begun
        stages.dispatch_s += clock() - read
        while wire.pending:
            data, wire.pending = wire.pending, b""
            results = _answered(data, decoder)
            begun = clock()
            link_end.get_buffer(0)[: len(results)] = results
            link_end.buffer_updated(len(results))
            stages.results_s += clock() - begun
        begun = clock()
        recorder.digest()
        stages.records_s += clock() - begun
        logs.discard()
    gc.unfreeze()
    lane.close_idle()
    lane.connections.clear()
    lane.close()
    dispatcher.close()
    return stages


def _make_ready(worker: Worker, model: ModelVersion, dispatcher: Dispatcher) -> _Sink:
    """Give the worker a link to a sink. Returns the sink."""
    runner = WorkerRunner.__new__(WorkerRunner)
    runner.worker = worker
    runner._model = model
    runner._dispatcher = dispatcher
    link = Link("noop", Load("noop", None, "", ""), runner, 1 << 30)
    sink = _Sink(is_kept=True)
    link._work = sink  # type: ignore[assignment]
    worker.link = link
    worker.state = WorkerState.READY
    worker.credits = _CREDITS
    return sink


@click.command()
@click.option("--turns", default=800, show_default=True, help="Turns of 64 requests each.")
@click.option("--rounds", default=5, show_default=True, help="Rounds; the quickest is shown.")
def main(turns: int, rounds: int) -> None:
    """Print microseconds of Python per request and stage, best of some rounds."""
    click.echo("batch size   lane   dispatch   results and answers   logs and metrics   total")
    for batch_size in (1, 32):
        logs = _Unwritten(LogOptions())
        runs = [asyncio.run(measure(batch_size, turns, logs)) for _ in range(rounds)]
        best = min(runs, key=lambda stages: stages.total_s)
        scale = 1e6 / (turns * _CONNECTIONS)
        click.echo(
            f"{batch_size:10} {best.lane_s * scale:6.2f} {best.dispatch_s * scale:10.2f} "
            f"{best.results_s * scale:21.2f} {best.records_s * scale:18.2f} {best.total_s * scale:7.2f}"
        )


if __name__ == "__main__":
    main()
