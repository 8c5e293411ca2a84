"""Records of what a model of any interface was asked and answered, made from the frames that came and went."""

from __future__ import annotations

import os
import socket
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from mms.bodies.time_text import time_text
from mms.wire import (
    FAILED,
    LAST,
    RESULT,
    STREAM,
    UNFILLED,
    Buffer,
    Item,
    Load,
    RecordOptions,
    ResultItem,
    decode_batch,
    decode_result,
)
from mms.wire.frames import HEADER_BYTES
from mms.worker.outbox import Outbox
from mms.worker.records.record_sender import RecordSender, sender
from mms.worker.records.record_values import error_of, operation_of, request_of, response_of

_Bytes = bytes | bytearray
Run = Callable[[int, "bytes | bytearray", "Sequence[bytes | bytearray]"], None]

BATCH_HEADERS = ("request", "op", "resp", "when", "microsec", "metrics")


class RecordOutbox(Outbox):
    """Sends records behind the answers."""

    __slots__ = ("_maker", "_sender")

    def __init__(
        self, connection: socket.socket, sender: RecordSender, maker: BatchRecords | None = None
    ) -> None:
        """`maker`: is shown the answers. None where the model makes its records itself."""
        super().__init__(connection)
        self._sender = sender
        self._maker = maker

    def add(self, buffers: Sequence[Buffer], now_ns: int) -> None:
        if self._maker is not None and buffers[0][1] == RESULT:
            # Before the flush that may follow at once, which makes the records.
            self._maker.note_result(list(buffers))
        super().add(buffers, now_ns)

    def flush(self) -> None:
        super().flush()
        if self._maker is not None:
            self._maker.make()
        for frame in self._sender.take_frames():
            self._socket.sendall(frame)


class BatchRecords:
    """Keeps batches until they are answered, and makes the records of their requests then.

    Every `sample`-th request has one; `batch` of them go together. Errors always have one of their own.
    """

    def __init__(self, load: Load, sender: RecordSender) -> None:
        options = load.records or RecordOptions()
        self._is_tracked = options.path is not None
        self._has_errors = options.has_errors
        self._sample = options.sample
        self._batch = options.batch
        self._base = base_record(load, options)
        self._sender = sender
        self._seen = 0
        self._rows: list[list[Any]] = []
        #: (time it came, payload, attachments, results so far)
        self._batches: list[tuple[int, _Bytes, Sequence[_Bytes], list[list[Buffer]]]] = []

    def __repr__(self) -> str:
        return f"<BatchRecords of {len(self._batches)} batches>"

    def watched(self, run: Run) -> Run:
        """Return `run`, each batch of which is kept."""
        batches = self._batches

        def run_watched(sequence: int, payload: _Bytes, attachments: Sequence[_Bytes]) -> None:
            batches.append((time.time_ns(), payload, attachments, []))
            run(sequence, payload, attachments)

        return run_watched

    def note_result(self, buffers: list[Buffer]) -> None:
        """Note a RESULT frame, as it is sent, of the newest batch."""
        if self._batches:
            self._batches[-1][3].append(buffers)

    def make(self) -> None:
        """Put records of the batches that are answered into the sender. Never raises an Exception."""
        while self._batches:
            started_ns, payload, attachments, frames = self._batches[0]
            results: list[ResultItem] = []
            elapsed_ns = flags = 0
            for buffers in frames:
                flags, elapsed_ns, items = _decode(buffers)
                if flags & UNFILLED:
                    # What the front alone is told.
                    items.pop()
                results += items
            if not flags & LAST:
                return
            del self._batches[0]
            try:
                self._make(decode_batch(payload, attachments), results, started_ns, elapsed_ns)
            except Exception:
                # Of a body that no reader expected: the model goes on, and the log tells.
                traceback.print_exc()

    def flush(self) -> None:
        """Put records that wait for others to go with them into the sender."""
        self.make()
        if self._rows:
            rows, self._rows = self._rows, []
            self._sender.tracking.push(
                {**self._base, "headers": list(BATCH_HEADERS), "values": rows}
            )

    def _make(
        self, items: list[Item], results: list[ResultItem], started_ns: int, elapsed_ns: int
    ) -> None:
        when = time_text(started_ns)
        for index, flags, status, phrase, headers, body in results:
            item = items[index]
            operation = operation_of(item)
            if operation is None:
                continue
            if flags & FAILED or status >= 400:
                self._push_error(item, operation, when, error_of(phrase, headers, body), status)
                continue
            self._seen += 1
            if not self._is_tracked or self._seen % self._sample:
                continue
            request = request_of(item)
            # Parts of streams are not kept.
            answered = b"" if flags & STREAM else body
            response = response_of(request["id"], headers, answered)
            values = [request, operation, response, when, elapsed_ns // 1000]
            if self._batch > 1:
                self._rows.append([*values, {}])
                if len(self._rows) >= self._batch:
                    self.flush()
                continue
            record = {**self._base, **dict(zip(BATCH_HEADERS, values, strict=False))}
            self._sender.tracking.push(record)

    def _push_error(self, item: Item, operation: str, when: str, text: str, status: int) -> None:
        request = request_of(item)
        if self._is_tracked:
            self._sender.tracking.push(
                {
                    **self._base,
                    "request": request,
                    "op": operation,
                    "when": when,
                    "error": text,
                    "status": status,
                }
            )
        if self._has_errors:
            base = self._base
            self._sender.errors.push(
                {
                    "function_uri": base["function_uri"],
                    "worker": base["worker"],
                    "host": base["host"],
                    "source": "_handler",
                    "event": {"id": request["id"], "body": request},
                    "message": text,
                    "args": {"model": base["model"], "version": base["version"], "status": status},
                }
            )


def open_outbox(
    connection: socket.socket, load: Load, send: Callable[[bytes], None]
) -> tuple[Outbox, BatchRecords | None]:
    """Return an outbox for a tracked model, and what is to watch its batches. Call where the process serves."""
    sender.connect(send)
    maker = None if sender.is_fed_by_model else BatchRecords(load, sender)
    return RecordOutbox(connection, sender, maker), maker


def base_record(load: Load, options: RecordOptions) -> dict[str, Any]:
    """Return what all records of a model say."""
    digits = load.worker_name.rpartition("-")[2]
    record: dict[str, Any] = {
        "class": load.handler.rpartition(":")[2],
        "worker": int(digits) if digits.isdecimal() else 0,
        "model": load.model_name,
        "version": load.model_version or "",
        "host": os.uname().nodename if hasattr(os, "uname") else socket.gethostname(),
        "function_uri": options.function_uri,
    }
    if options.labels:
        record["labels"] = options.labels
    return record


def _decode(buffers: list[Buffer]) -> tuple[int, int, list[ResultItem]]:
    """Decode a RESULT frame as `encode_result` made it. Its attachments have a header before each of them."""
    payload = bytes(buffers[0])[HEADER_BYTES:]
    return decode_result(payload, [bytes(body) for body in buffers[2::2]])
