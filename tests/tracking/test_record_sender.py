"""From a worker's process to the front."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from mms.wire import FrameDecoder
from mms.wire.records import ERRORS, MAX_RECORD_BYTES, TRACKING, decode_records, encode_records
from mms.worker.records.record_sender import RecordSender


def records_of(frames: list[bytes]) -> list[tuple[int, Any]]:
    decoder = FrameDecoder(1 << 30)
    found: list[tuple[int, Any]] = []
    data = memoryview(b"".join(frames))
    while data:
        buffer = decoder.get_buffer()
        size = min(len(buffer), len(data))
        buffer[:size] = data[:size]
        data = data[size:]
        for _, sequence, payload, _ in decoder.received(size):
            found += [(sequence, json.loads(text)) for text in decode_records(sequence, payload)]
    return found


def test_records_of_a_batch_wait_for_its_end_and_go_together() -> None:
    sent: list[bytes] = []
    sender = RecordSender()
    sender.connect(sent.append)
    sender.tracking.push({"n": 1})
    sender.errors.push([{"n": 2}, {"n": 3}])
    sender.tracking.push({"n": 4})
    assert sent == []
    frames = sender.take_frames()
    assert len(frames) == 2
    assert sorted(records_of(frames), key=lambda found: int(found[1]["n"])) == [
        (TRACKING, {"n": 1}),
        (ERRORS, {"n": 2}),
        (ERRORS, {"n": 3}),
        (TRACKING, {"n": 4}),
    ]
    assert sender.take_frames() == []


def test_a_record_of_another_thread_is_sent_at_once() -> None:
    sent: list[bytes] = []
    sender = RecordSender()
    sender.connect(sent.append)
    thread = threading.Thread(target=sender.tracking.push, args=({"n": 1},))
    thread.start()
    thread.join()
    assert records_of(sent) == [(TRACKING, {"n": 1})]


def test_frames_are_never_larger_than_a_front_believes() -> None:
    frames = encode_records(TRACKING, [b'"%s"' % (b"x" * 400_000) for _ in range(5)])
    assert len(frames) == 3
    assert max(map(len, frames)) <= 1 << 20
    assert len(records_of(frames)) == 5


def test_a_record_that_is_too_large_goes_without_its_values() -> None:
    sender = RecordSender()
    large = "x" * MAX_RECORD_BYTES
    sender.tracking.push(
        {
            "model": "m",
            "request": {"id": "r", "inputs": [1]},
            "resp": {"id": "r", "outputs": [large]},
        }
    )
    ((_, told),) = records_of(sender.take_frames())
    assert told.pop("truncated") > MAX_RECORD_BYTES
    assert told == {"model": "m", "request": {"id": "r", "inputs": [1]}, "resp": {"id": "r"}}


def test_a_record_that_is_no_json_is_lost_alone(capsys: pytest.CaptureFixture[str]) -> None:
    sender = RecordSender()
    circle: dict[str, Any] = {}
    circle["self"] = circle
    sender.tracking.push([circle, {"n": 1}])
    assert records_of(sender.take_frames()) == [(TRACKING, {"n": 1})]
    assert "could not be written as JSON" in capsys.readouterr().err
