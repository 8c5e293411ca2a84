"""The way of records from a worker's process to the streams that the front writes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from mms.bodies.json_text import to_record_text
from mms.wire.records import ERRORS, MAX_RECORD_BYTES, TRACKING, encode_records
from mms.worker.log_records.log_lines import write_log

#: Of records that are too large, these members are left out, the largest first.
_VALUES = ("resp", "request", "values", "event", "args")


class RecordSender:
    """Holds records while a batch runs, so that its answers go out before the time for records is spent.

    There is one in a process, connected where the process serves. Any thread may push; what comes from another one
    than that which runs batches is sent at once.
    """

    def __init__(self) -> None:
        self.tracking = RecordStream(self, TRACKING)
        self.errors = RecordStream(self, ERRORS)
        #: Set by a model that makes the records of its requests itself.
        self.is_fed_by_model = False
        self._held: list[tuple[int, Any]] = []
        self._send: Callable[[bytes], None] | None = None
        self._owner = 0
        self._has_complained = False

    def __repr__(self) -> str:
        return f"<RecordSender {len(self._held)} held>"

    def connect(self, send: Callable[[bytes], None]) -> None:
        """Set what writes a frame to the front, from any thread. Called by the thread that will run batches."""
        self._owner = threading.get_ident()
        self._send = send

    def push(self, stream: int, record: Any) -> None:
        """Take a record, which must not change until the batch is over. Never raises an Exception."""
        if self._send is None or threading.get_ident() == self._owner:
            self._held.append((stream, record))
            return
        text = self._text(record)
        if text is None:
            return
        try:
            for frame in encode_records(stream, [text]):
                self._send(frame)
        except OSError:
            # The front is gone, and this process is about to be.
            return

    def take_frames(self) -> list[bytes]:
        """Return the frames of what was held. For the thread that runs batches, between them."""
        if not self._held:
            return []
        held, self._held = self._held, []
        lines: dict[int, list[bytes]] = {}
        for stream, record in held:
            text = self._text(record)
            if text is not None:
                lines.setdefault(stream, []).append(text)
        return [frame for stream, texts in lines.items() for frame in encode_records(stream, texts)]

    def _text(self, record: Any) -> bytes | None:
        try:
            text = to_record_text(record).encode()
            if len(text) > MAX_RECORD_BYTES:
                text = _shortened(json.loads(text), len(text))
        except Exception as error:
            if not self._has_complained:
                self._has_complained = True
                write_log(f"A record could not be written as JSON: {error}\n")
            return None
        return text


class RecordStream:
    """One stream, with the method that writers of records know."""

    def __init__(self, sender: RecordSender, number: int) -> None:
        self._sender = sender
        self._number = number

    def __repr__(self) -> str:
        return f"<RecordStream {self._number}>"

    def push(self, records: Any, **_: Any) -> None:
        """Take one record or a list of them. Never raises an Exception."""
        for record in records if isinstance(records, list) else [records]:
            self._sender.push(self._number, record)


def _shortened(record: Any, size_bytes: int) -> bytes:
    """Return the record without the values that make it large, and with its size as `truncated`, in bytes."""
    if not isinstance(record, dict):
        record = {}
    record["truncated"] = size_bytes
    for member in _VALUES:
        if member in record:
            value = record.pop(member)
            kept = value.get("id") if isinstance(value, dict) else None
            if kept is not None:
                record[member] = {"id": kept}
            text = to_record_text(record).encode()
            if len(text) <= MAX_RECORD_BYTES:
                return text
    return to_record_text({"truncated": size_bytes}).encode()


#: The one of this process.
sender = RecordSender()
