"""The queue before a sink: it neither waits nor fails, and counts what it loses."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

import pytest

from mms.tracking import Counts, RecordQueue, Undelivered

LIMIT_S = 20.0


class Sink:
    """Takes records once its gate is open; fails as it is told."""

    def __init__(self, *failures: Undelivered | Exception) -> None:
        self.taken: list[bytes] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.is_closed = False
        self._failures = list(failures)

    def write(self, records: Sequence[bytes]) -> None:
        self.entered.set()
        assert self.gate.wait(LIMIT_S)
        if self._failures:
            failure = self._failures.pop(0)
            if isinstance(failure, Undelivered):
                self.taken += records[: failure.delivered]
            raise failure
        self.taken += records

    def close(self) -> None:
        self.is_closed = True


def numbered(count: int) -> list[bytes]:
    return [str(number).encode() for number in range(count)]


def test_records_reach_the_sink_in_their_order() -> None:
    sink = Sink()
    queue = RecordQueue(sink)
    for record in numbered(1200):
        queue.push([record])
    assert queue.flush(LIMIT_S)
    assert sink.taken == numbered(1200)
    assert (queue.counts.written, queue.counts.dropped) == (1200, 0)
    assert queue.close(LIMIT_S)


def test_a_push_does_not_wait_for_a_sink_that_hangs_and_what_finds_no_room_is_counted() -> None:
    sink = Sink()
    sink.gate.clear()
    queue = RecordQueue(sink, max_records=10)
    queue.push([b"first"])
    assert sink.entered.wait(LIMIT_S)
    # The sink has the first one, which takes no room any more.
    assert queue.push(numbered(15)) == 10
    assert queue.counts.dropped == 5
    sink.gate.set()
    assert queue.close(LIMIT_S)
    assert sink.taken == [b"first", *numbered(10)]
    assert (queue.counts.written, queue.counts.dropped) == (11, 5)


def test_the_bytes_that_wait_are_bounded_too() -> None:
    sink = Sink()
    sink.gate.clear()
    queue = RecordQueue(sink, max_bytes=100)
    queue.push([b"first"])
    assert sink.entered.wait(LIMIT_S)
    assert queue.push([b"x" * 60, b"y" * 60, b"z" * 40]) == 2
    sink.gate.set()
    assert queue.close(LIMIT_S)
    assert sink.taken == [b"first", b"x" * 60, b"z" * 40]


def test_each_source_has_counts_of_its_own() -> None:
    queue = RecordQueue(Sink(), max_records=3)
    first, second = Counts(), Counts()
    queue.push([b"1", b"2"], first)
    assert queue.flush(LIMIT_S)
    queue.close(LIMIT_S)
    queue.push([b"3"], second)
    assert (first.written, first.dropped) == (2, 0)
    assert (second.written, second.dropped) == (0, 1)


def test_what_may_go_better_later_is_tried_again_without_what_was_taken() -> None:
    sink = Sink(Undelivered("away", 1, can_retry=True), Undelivered("away", 0, can_retry=True))
    queue = RecordQueue(sink)
    queue.push(numbered(3))
    assert queue.flush(LIMIT_S)
    assert sink.taken == numbered(3)
    assert queue.counts.dropped == 0
    assert queue.close(LIMIT_S)


def test_a_record_that_is_refused_for_good_is_lost_alone() -> None:
    sink = Sink(Undelivered("too large", 1, can_retry=False))
    queue = RecordQueue(sink)
    queue.push(numbered(3))
    assert queue.flush(LIMIT_S)
    assert sink.taken == [b"0", b"2"]
    assert (queue.counts.written, queue.counts.dropped) == (2, 1)
    assert queue.close(LIMIT_S)


def test_a_sink_that_raises_anything_does_not_end_the_thread(
    caplog: pytest.LogCaptureFixture,
) -> None:
    queue = RecordQueue(sink := Sink(KeyError("a bug")), "odd")
    with caplog.at_level(logging.WARNING, "mms.tracking"):
        queue.push(numbered(2))
        assert queue.flush(LIMIT_S)
    assert sink.taken == [b"1"]
    assert "1 records for odd are lost: KeyError: 'a bug'" in caplog.text
    assert queue.close(LIMIT_S)


def test_the_end_writes_what_waits_and_closes_the_sink() -> None:
    sink = Sink()
    sink.gate.clear()
    queue = RecordQueue(sink)
    queue.push(numbered(700))
    threading.Timer(0.05, sink.gate.set).start()
    assert queue.close(LIMIT_S)
    assert sink.taken == numbered(700)
    assert sink.is_closed


def test_the_end_does_not_wait_longer_than_it_is_given() -> None:
    sink = Sink()
    sink.gate.clear()
    queue = RecordQueue(sink)
    queue.push([b"first"])
    assert sink.entered.wait(LIMIT_S)
    queue.push(numbered(2))
    assert not queue.close(0.05)
    assert queue.counts.dropped == 2
    sink.gate.set()


def test_the_end_gives_up_at_once_on_a_sink_that_is_away() -> None:
    sink = Sink(*(Undelivered("away", 0, can_retry=True) for _ in range(20)))
    queue = RecordQueue(sink)
    sink.gate.clear()
    queue.push(numbered(2))
    assert sink.entered.wait(LIMIT_S)
    threading.Timer(0.05, sink.gate.set).start()
    # After two tries more the next one would come after the end.
    assert queue.close(2.5)
    assert queue.counts.dropped == 2
    assert sink.is_closed


def test_without_a_record_there_is_no_thread() -> None:
    sink = Sink()
    before = set(threading.enumerate())
    queue = RecordQueue(sink)
    assert set(threading.enumerate()) <= before
    assert queue.close(LIMIT_S)
    assert sink.is_closed
