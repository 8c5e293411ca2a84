from __future__ import annotations

import os
import threading

from mms.log_writer.line_writer import LineWriter
from mms.log_writer.sink import Sink, StreamSink


class MemorySink(Sink):
    """Takes lines only while `gate` is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.written: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.entered.set()
        assert self.gate.wait(20)
        self.written.append(data)

    def close(self) -> None:
        self.is_closed = True


def test_lines_are_written_in_order_in_another_thread() -> None:
    sink = MemorySink()
    writer = LineWriter("test", 100)
    writer.put([(sink, b"one\n", 1), (sink, b"two\n", 1)])
    writer.put([(sink, b"three\n", 1)])
    assert writer.wait_until_written(20)
    assert sink.written == [b"one\n", b"two\n", b"three\n"]
    writer.close()


def test_a_stuck_output_does_not_hold_the_caller_and_drops_what_is_over_the_limit() -> None:
    reports: list[str] = []
    sink = MemorySink()
    sink.gate.clear()
    writer = LineWriter("test", 10, report=reports.append)
    writer.put([(sink, b"held\n", 1)])
    assert sink.entered.wait(20)
    writer.put([(sink, b"five\n", 1)])
    writer.put([(sink, b"a\nb\n", 2)])
    writer.put([(sink, b"c\n", 1)])
    assert writer.dropped_lines == 3
    assert len(reports) == 1
    assert not writer.wait_until_written(0)
    sink.gate.set()
    assert writer.wait_until_written(20)
    assert sink.written == [b"held\n", b"five\n"]
    writer.close()


def test_a_write_larger_than_the_limit_passes_where_nothing_else_waits() -> None:
    sink = MemorySink()
    writer = LineWriter("test", 3)
    writer.put([(sink, b"longer than three\n", 1)])
    writer.close()
    assert sink.written == [b"longer than three\n"]


def test_close_writes_what_is_queued_and_closes_the_sinks() -> None:
    sink = MemorySink()
    sink.gate.clear()
    writer = LineWriter("test", 100)
    writer.put([(sink, b"one\n", 1)])
    writer.put([(sink, b"two\n", 1)])
    sink.gate.set()
    writer.close()
    assert sink.written == [b"one\n", b"two\n"]
    assert sink.is_closed


def test_close_gives_up_on_a_stuck_output_and_says_so() -> None:
    reports: list[str] = []
    sink = MemorySink()
    sink.gate.clear()
    writer = LineWriter("test", 100, report=reports.append)
    writer.put([(sink, b"held\n", 1)])
    writer.close(timeout_s=0.01)
    assert reports == ["test: gave up writing 5 bytes of log."]
    sink.gate.set()


def test_a_stream_whose_reader_is_gone_is_given_up_once() -> None:
    reports: list[str] = []
    reading, writing = os.pipe()
    sink = StreamSink(writing, report=reports.append)
    sink.write(b"one\n")
    assert os.read(reading, 100) == b"one\n"
    os.close(reading)
    sink.write(b"two\n")
    sink.write(b"three\n")
    os.close(writing)
    assert len(reports) == 1
    assert "Broken pipe" in reports[0]


def test_a_non_blocking_stream_gets_every_byte() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    data = b"x" * 1_000_000
    received = bytearray()

    def read_all() -> None:
        while len(received) < len(data):
            received.extend(os.read(reading, 65536))

    reader = threading.Thread(target=read_all)
    reader.start()
    StreamSink(writing).write(data)
    reader.join(20)
    os.close(reading)
    os.close(writing)
    assert bytes(received) == data
