"""The process that writes the log: what it costs when it is killed, stopped or left alone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from support.waiting import eventually

from mms.log_writer import process_writer
from mms.log_writer.lines import STDOUT, plain_lines
from mms.log_writer.process_writer import ProcessWriter

_FIRST, _SECOND = 1, 2


class Written:
    """Two files, and files in place of standard output and error."""

    def __init__(self, folder: Path) -> None:
        self.paths = [folder / "logs" / "first.log", folder / "logs" / "second.log"]
        self._names = [folder / "stdout", folder / "stderr"]
        self.descriptors = [os.open(name, os.O_RDWR | os.O_CREAT) for name in self._names]

    @property
    def stdout(self) -> str:
        return self._names[0].read_text()

    @property
    def stderr(self) -> str:
        return self._names[1].read_text()

    @property
    def first(self) -> str:
        return self.paths[0].read_text()


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Written]:
    written = Written(tmp_path)
    yield written
    for descriptor in written.descriptors:
        os.close(descriptor)


@pytest.fixture
def make(written: Written) -> Iterator[Callable[..., ProcessWriter]]:
    made = []

    def make(**options: int) -> ProcessWriter:
        writer = ProcessWriter(written.paths, *written.descriptors, **options)
        made.append(writer)
        return writer

    yield make
    for writer in made:
        writer.close()


def _put(writer: ProcessWriter, *items: tuple[int, bytes]) -> None:
    writer.put([plain_lines(outputs, text.decode()) for outputs, text in items])


def _settled(writer: ProcessWriter) -> None:
    assert writer.wait_until_written(20)


def test_text_goes_to_each_of_its_outputs_in_order(
    make: Callable[..., ProcessWriter], written: Written
) -> None:
    writer = make()
    _put(writer, (_FIRST | _SECOND, b""), (_FIRST | STDOUT, b"one\n"))
    _put(writer, (_FIRST, b"two\n"), (STDOUT, b"three\n"))
    _settled(writer)
    assert (written.first, written.stdout) == ("one\ntwo\n", "one\nthree\n")
    assert written.paths[1].read_bytes() == b""


def test_a_line_longer_than_the_pipe_arrives_whole(
    make: Callable[..., ProcessWriter], written: Written
) -> None:
    writer = make()
    line = b"x" * 10_000_000 + b"\n"
    _put(writer, (_FIRST | STDOUT, line), (_FIRST, b"next\n"))
    assert writer.is_behind
    _settled(writer)
    assert written.paths[0].read_bytes() == line + b"next\n"
    assert len(written.stdout) == len(line)
    assert not writer.is_behind


def test_closing_writes_what_was_put_and_leaves_no_process(
    make: Callable[..., ProcessWriter], written: Written
) -> None:
    writer = make()
    pid = writer.pid
    _put(writer, (_FIRST, b"a line of the log\n" * 100_000))
    writer.close()
    assert len(written.first) == 1_800_000
    assert not psutil.pid_exists(pid)
    _put(writer, (_FIRST, b"too late\n"))
    assert "too late" not in written.first


def test_a_killed_process_is_replaced_and_what_it_had_is_counted(
    make: Callable[..., ProcessWriter], written: Written
) -> None:
    writer = make()
    _put(writer, (_FIRST, b"before\n"))
    _settled(writer)
    pid = writer.pid
    os.kill(pid, signal.SIGSTOP)
    _put(writer, (_FIRST | STDOUT, b"lost\nlost\n"))
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    _put(writer, (_FIRST, b"after\n"))
    _settled(writer)
    assert written.first == "before\nafter\n"
    assert writer.dropped_lines == 4
    assert (
        f"the process {pid} has ended (killed by SIGKILL); at most 4 lines are lost."
        in written.stderr
    )
    assert writer.pid not in (0, pid)


def _lose(writer: ProcessWriter, text: bytes) -> int:
    """Put text that the process takes no more before it is killed. Returns the process's number."""
    pid = writer.pid
    os.kill(pid, signal.SIGSTOP)
    _put(writer, (_FIRST, text))
    assert not writer.is_behind
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid


def test_who_waits_for_what_is_written_notices_that_the_process_was_killed(
    make: Callable[..., ProcessWriter], written: Written
) -> None:
    writer = make()
    _put(writer, (_FIRST, b"before\n"))
    _settled(writer)
    pid = _lose(writer, b"lost\nlost\n")
    _settled(writer)
    assert writer.dropped_lines == 2
    assert (
        f"{pid} has ended (killed by SIGKILL); at most 2 lines are lost. Another one is started."
        in written.stderr
    )
    assert writer.pid not in (0, pid)


def test_who_asks_how_many_lines_were_dropped_is_told_those_of_a_killed_process(
    make: Callable[..., ProcessWriter],
) -> None:
    writer = make()
    _put(writer, (_FIRST, b"before\n"))
    _settled(writer)
    _lose(writer, b"lost\nlost\n")
    assert writer.dropped_lines == 2


def test_lines_that_are_lost_with_a_process_that_was_killed_before_the_end_are_counted_and_told(
    make: Callable[..., ProcessWriter], written: Written
) -> None:
    writer = make()
    _put(writer, (_FIRST, b"before\n"))
    _settled(writer)
    pid = _lose(writer, b"lost\nlost\n")
    writer.close()
    assert writer.dropped_lines == 2
    assert written.stderr == (
        f"multi-model-server: log-writer: the process {pid} has ended (killed by SIGKILL); "
        "at most 2 lines are lost.\n"
    )
    assert writer.wait_until_written(0), "nothing is left to wait for"


def test_another_process_is_promised_only_where_one_is_started(
    make: Callable[..., ProcessWriter], written: Written
) -> None:
    writer = make()
    _put(writer, (_FIRST, b"before\n"))
    _settled(writer)
    writer._restart_at_s = float("inf")
    pid = _lose(writer, b"lost\n")
    assert writer.dropped_lines == 1
    assert writer.pid == 0
    assert f"{pid} has ended (killed by SIGKILL); at most 1 lines are lost." in written.stderr
    assert "Another one" not in written.stderr


def test_a_process_that_ends_again_and_again_is_not_started_more_often_than_each_second(
    make: Callable[..., ProcessWriter], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    writer = make()
    ends_at_once = tmp_path / "ends"
    ends_at_once.write_text("#!/bin/sh\nexit 3\n")
    ends_at_once.chmod(0o755)
    monkeypatch.setattr(process_writer.sys, "executable", str(ends_at_once))
    pids = set()
    os.kill(writer.pid, signal.SIGKILL)

    def has_none_left() -> bool:
        _put(writer, (_FIRST, b"line\n"))
        pids.add(writer.pid)
        return writer.pid == 0

    eventually("the second process has ended", has_none_left)
    assert len(pids) <= 3
    monkeypatch.undo()
    _settled(writer)
    assert writer.pid


def test_a_stopped_process_holds_nobody_and_its_backlog_has_a_limit(
    make: Callable[..., ProcessWriter], written: Written
) -> None:
    writer = make(limit_bytes=2_000_000)
    _put(writer, (_FIRST, b""))
    _settled(writer)
    os.kill(writer.pid, signal.SIGSTOP)
    text = b"a line that is put\n" * 5_000
    longest_s = 0.0
    for _ in range(100):
        started = time.monotonic()
        _put(writer, (_FIRST, text))
        longest_s = max(longest_s, time.monotonic() - started)
    assert longest_s < 1
    assert writer.is_behind
    dropped = writer.dropped_lines
    assert 300_000 < dropped < 500_000
    assert written.stderr.count("lines are being dropped") == 1
    os.kill(writer.pid, signal.SIGCONT)
    _settled(writer)
    writer.put([])
    assert len(written.first.splitlines()) == 500_000 - dropped
    assert f"log-writer: {dropped} lines were dropped; lines are written again." in written.stderr


def test_closing_does_not_wait_long_for_a_stopped_process(
    make: Callable[..., ProcessWriter], written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_writer, "_CLOSE_S", 0.2)
    writer = make()
    _put(writer, (_FIRST, b"written\n"))
    _settled(writer)
    pid = writer.pid
    os.kill(pid, signal.SIGSTOP)
    _put(writer, (_FIRST, b"x" * 2_000_000 + b"\n"), (_FIRST, b"and\nthree\nmore\n"))
    writer.close()
    assert not psutil.pid_exists(pid)
    assert "was killed; at most 4 lines are lost." in written.stderr
    assert writer.dropped_lines == 4


def test_lines_of_the_end_are_written_though_the_process_has_just_been_killed(
    make: Callable[..., ProcessWriter], written: Written
) -> None:
    writer = make()
    _put(writer, (_FIRST, b"before\n"))
    _settled(writer)
    process = writer._program
    assert process is not None
    process.kill()
    process.wait()
    # The first end is made good at once, so it has to be too early for that.
    writer._restart_at_s = float("inf")
    _put(writer, (_FIRST | STDOUT, b"last words\n"))
    writer.close()
    assert written.first == "before\nlast words\n"
    assert written.stdout == "last words\n"


def test_signals_to_stop_do_not_reach_the_last_lines(
    make: Callable[..., ProcessWriter], written: Written
) -> None:
    writer = make()
    _put(writer, (_FIRST, b"first\n"))
    _settled(writer)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(writer.pid, number)
    _put(writer, (_FIRST, b"last\n"))
    writer.close()
    assert written.first == "first\nlast\n"
    assert written.stderr == ""


def test_the_process_gives_way_to_others_and_has_no_variables_of_the_server(
    make: Callable[..., ProcessWriter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMS_API_KEY", "secret")
    writer = make()
    _put(writer, (_FIRST, b""))
    _settled(writer)
    process = psutil.Process(writer.pid)
    assert process.nice() == psutil.Process().nice() + 5
    assert "MMS_API_KEY" not in process.environ()
    assert os.getsid(process.pid) == process.pid


_DIES = """
import os, signal, sys
from mms.log_writer.lines import plain_lines
from mms.log_writer.process_writer import ProcessWriter
writer = ProcessWriter([sys.argv[1]], 1, 2)
writer.put([plain_lines(1, "")])
assert writer.wait_until_written(20)
writer.put([plain_lines(1, "one\\n" * 200_000)])
while writer.is_behind:
    writer.put([])
print(writer.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_handed_over_is_written_after_the_server_is_killed_and_the_process_ends(
    tmp_path: Path,
) -> None:
    path = tmp_path / "one.log"
    dies = subprocess.run(
        [sys.executable, "-c", _DIES, str(path)], capture_output=True, text=True, timeout=60
    )
    assert dies.returncode == -signal.SIGKILL
    pid = int(re.findall(r"\d+", dies.stdout)[0])
    eventually("the process has ended", lambda: not psutil.pid_exists(pid))
    assert path.read_text() == "one\n" * 200_000
