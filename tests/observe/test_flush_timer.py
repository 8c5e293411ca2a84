from __future__ import annotations

import asyncio
import itertools

import pytest

from mms.observe.flush_timer import MAX_DELAY_S, FlushTimer, next_delay_s
from mms.observe.log_files.setup import LogFile
from mms.observe.recorder import Recorder

from .conftest import WrittenLogs


def test_a_quiet_server_flushes_every_100_milliseconds() -> None:
    assert next_delay_s(0, 0.1) == MAX_DELAY_S == 0.1


def test_a_server_with_requests_flushes_every_10_milliseconds_or_more_often() -> None:
    assert next_delay_s(20, 0.1) == 0.01
    busy = next_delay_s(800, 0.01)
    assert busy == 0.005
    assert next_delay_s(100, busy) == 0.01


def test_a_server_whose_requests_end_comes_back_to_the_usual_delay() -> None:
    delay_s = 0.005
    for _ in range(6):
        delay_s = next_delay_s(1, delay_s)
    assert delay_s == MAX_DELAY_S


class _WatchedRecorder(Recorder):
    """Tells when a flush found something."""

    def __init__(self, written: WrittenLogs) -> None:
        super().__init__(written.configure().logs)
        self.has_flushed = asyncio.Event()

    def flush(self) -> None:
        had_records = bool(self.pending)
        super().flush()
        if had_records:
            self.has_flushed.set()


async def test_records_are_written_without_anyone_asking(written: WrittenLogs) -> None:
    recorder = _WatchedRecorder(written)
    timer = FlushTimer(recorder)
    timer.start()
    try:
        for number in range(2):
            recorder.has_flushed.clear()
            recorder.requests.append((0.0, f"r GET /{number}", 200, 0.0, "", "", None))
            await asyncio.wait_for(recorder.has_flushed.wait(), 20)
    finally:
        timer.stop()
    assert len(written.read(LogFile.ACCESS).splitlines()) == 2


async def test_stopping_flushes_what_is_left(written: WrittenLogs) -> None:
    recorder = Recorder(written.configure().logs)
    timer = FlushTimer(recorder)
    timer.start()
    recorder.requests.append((0.0, "r GET /", 200, 0.0, "", "", None))
    timer.stop()
    assert not recorder.pending


def test_a_busy_server_digests_often_and_hands_lines_over_seldom(written: WrittenLogs) -> None:
    class Busy(Recorder):
        digests = 0
        flushes = 0

        def digest(self) -> None:
            self.digests += 1

        def flush(self) -> None:
            self.flushes += 1
            self.digest()

    recorder = Busy(written.configure().logs)
    timer = FlushTimer(recorder, delay_s=0.005)
    for number in range(1, 21):
        timer.turn(number * 0.005)
    assert recorder.digests == 20
    assert 0 < recorder.flushes <= 10


def test_while_a_worker_has_a_lone_request_a_small_part_of_the_log_is_made_at_a_time(
    written: WrittenLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(written.configure().logs)
    timer = FlushTimer(recorder, delay_s=0.01)
    digested: list[int] = []
    handed_over: list[float] = []
    digest = recorder.digest
    monkeypatch.setattr(recorder, "digest", lambda: (digested.append(recorder.pending), digest()))
    monkeypatch.setattr(type(recorder.logs), "flush", lambda _: handed_over.append(at_s))
    for number in range(400):
        at_s = 10 + number * 0.0001
        recorder.requests.append((at_s, "r GET /", 200, 0.0, "", "", None))
        timer.meanwhile(at_s)
    assert max(digested) <= 20
    assert sum(digested) > 350
    gaps = [later - earlier for earlier, later in itertools.pairwise(handed_over)]
    assert 4 <= len(gaps) <= 8
    timer.turn(at_s + 0.001)
    assert len(handed_over) == len(gaps) + 1, "the timer does not hand over again at once"


async def test_lines_that_could_not_all_be_handed_over_are_tried_again_at_each_turn(
    written: WrittenLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Behind(Recorder):
        flushes = 0
        digests = 0
        done = asyncio.Event()

        def digest(self) -> None:
            self.digests += 1

        def flush(self) -> None:
            self.flushes += 1
            if self.flushes == 10:
                self.done.set()

    recorder = Behind(written.configure().logs)
    monkeypatch.setattr(type(recorder.logs), "is_behind", True)
    timer = FlushTimer(recorder)
    timer.start()
    try:
        await asyncio.wait_for(recorder.done.wait(), 20)
        assert recorder.digests == 0, "what waits is put off"
    finally:
        timer.stop()
