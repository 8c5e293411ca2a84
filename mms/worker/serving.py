"""The life of a worker: dial in, load, run batches until it is told to leave."""

from __future__ import annotations

import gc
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

from mms.processes import heap
from mms.processes.garbage import rare_collections
from mms.wire import (
    BATCH,
    BYE,
    CREDIT,
    DRAIN,
    IMPORTED,
    LOAD,
    LOADED,
    READINESS,
    ROLE_WORK,
    Load,
    Loaded,
    ProtocolError,
    Readiness,
    encode_frame,
)
from mms.worker.connection import Control, connect, connect_control, read_frames
from mms.worker.loading.load import load_model
from mms.worker.loading.model import ItemServer, Model
from mms.worker.loading.stages import on_imported
from mms.worker.log_records.log_lines import write_log
from mms.worker.log_records.tracebacks import model_traceback
from mms.worker.outbox import Outbox
from mms.worker.process.lifeline import hold_lifeline
from mms.worker.running.batch_runner import BatchRunner, encode_metrics
from mms.worker.streams.process import serve_streams
from mms.worker.streams.pump import StreamPump

#: The front takes no message of any length.
_MAX_REASON_CHARS = 2000

_Bytes: TypeAlias = "bytes | bytearray"
_Run: TypeAlias = "Callable[[int, _Bytes, Sequence[_Bytes]], None]"


def run_worker(address: str, secret: str) -> int:
    """Dial in, load what the front asks for, serve. Returns the process's exit code."""
    hold_lifeline(address, secret)
    work = connect(address, secret, ROLE_WORK)
    control = connect_control(address, secret)
    load = receive_load(work)
    if load is None:
        return 0
    connect_calls(control, load)
    model = answer_load(work, load)
    if model is None:
        return 1
    return serve(work, control, model, load)


def receive_load(connection: socket.socket) -> Load | None:
    """Return the first message of the front; None where it is gone. Raises ProtocolError for another message."""
    for frames in read_frames(connection):
        kind, _, payload, _ = frames[0]
        if kind != LOAD or len(frames) > 1:
            raise ProtocolError("the front's first message is no load message alone")
        return Load.from_payload(payload)
    return None


def connect_calls(control: Control, load: Load) -> None:
    """Let the model's code call the models that it may call."""
    if load.calls:
        # Here, as other models have no use for it.
        from mms.worker.calls import caller

        control.on_called = caller.connect(control.send, load.max_call_bytes)


def answer_load(
    connection: socket.socket,
    load: Load,
    complete: Callable[[Loaded], None] | None = None,
) -> Model | None:
    """Load, and tell the front how it went; None where it went wrong. `complete` adds to what is told of a success."""
    on_imported(lambda: connection.sendall(encode_frame(IMPORTED, 0)))
    with rare_collections():
        model, loaded = load_model(load)
    frames = []
    if model is not None:
        if metrics := model.context._taken_metrics():
            frames += encode_metrics(metrics, load.model_version)
        if complete is not None:
            complete(loaded)
        # What is loaded now stays: collections need not look at it, and a fork's copies of it stay shared. First, as
        # requests come with the answer.
        gc.collect()
        gc.freeze()
    frames.append(encode_frame(LOADED, 0, loaded.to_payload()))
    sys.stdout.flush()
    connection.sendall(b"".join(frames))
    return model


def serve(work: socket.socket, control: Control, model: Model, load: Load) -> int:
    """Run batches until the front says to drain or is gone. Returns the process's exit code."""
    outbox = Outbox(work)
    watch: Callable[[_Run], _Run] = _unwatched
    flush_records: Callable[[], None] | None = None
    if load.records is not None:
        # Here, as other models have no use for it.
        from mms.worker.records.tracking import open_outbox

        outbox, records = open_outbox(work, load, control.send)
        if records is not None:
            watch, flush_records = records.watched, records.flush
    control.on_heartbeat = outbox.flush_lent
    if load.names_traces:
        # Here, as it is for servers that make traces.
        from mms.worker.log_records.named_output import name_output

        name_output()
    pump = StreamPump(work, outbox)
    serve_streams(pump)
    if model.items is None:
        run = watch(BatchRunner(model, load, outbox, control.cancelled_ids, pump).run)
        has_drained = _run_batches(pump, outbox, run)
    else:
        has_drained = _serve_items(pump, outbox, control, model, model.items, load, watch)
    if has_drained:
        if flush_records is not None:
            flush_records()
        outbox.add([encode_frame(BYE, 0)], time.perf_counter_ns())
        outbox.flush()
    return 0


def _unwatched(run: _Run) -> _Run:
    return run


def _serve_items(
    pump: StreamPump,
    outbox: Outbox,
    control: Control,
    model: Model,
    items: ItemServer,
    load: Load,
    watch: Callable[[_Run], _Run],
) -> bool:
    # Here, as other models have no use for it.
    from mms.worker.running.item_runner import ItemRunner

    def tell(is_ready: bool, error: str) -> None:
        control.send(
            encode_frame(READINESS, 0, Readiness(is_ready, error[:_MAX_REASON_CHARS]).to_payload())
        )

    items.start(tell)
    try:
        runner = ItemRunner(items, load, outbox, control.cancelled_ids, model.tensors)
        return _run_batches(pump, outbox, watch(runner.run))
    finally:
        # Before the front is told that this worker is done.
        _close(items, load.model_name)


def _close(items: ItemServer, model_name: str) -> None:
    """End what the model has open. What its code raises keeps neither records nor the last frame from the front."""
    try:
        items.close()
    except BaseException as error:
        # Of SystemExit, too: this worker ends anyway.
        write_log(f"Model {model_name} failed at its end:\n{model_traceback(error)}")


def _run_batches(pump: StreamPump, outbox: Outbox, run: _Run) -> bool:
    """Run batches until the front is gone or has this worker end. Return whether it said to drain."""
    for frames in pump.frames():
        for kind, sequence, payload, attachments in frames:
            if kind == BATCH:
                if attachments:
                    heap.keep_freed()
                run(sequence, payload, attachments)
            elif kind == CREDIT:
                pump.on_credit(payload)
            elif kind == DRAIN:
                outbox.flush()
                return True
            else:
                raise ProtocolError(f"frame of kind {kind} on a work connection")
        outbox.flush()
    return False
