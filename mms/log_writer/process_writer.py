"""Has a process write the log, so that nothing that writing takes is taken from the event loop.

Lines go to `writer_process.py` through a pipe that never blocks. What the pipe does not take waits here, up to a
limit; more is dropped and counted. A process that has ended is replaced.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from itertools import islice

from mms.log_writer.framing import HEADER, PROGRESS
from mms.log_writer.json_lines import TEXT
from mms.log_writer.line_writer import DropReport
from mms.log_writer.lines import Lines, line_count, output_count, pack, unpack
from mms.log_writer.sink import report_to_stderr
from mms.log_writer.writer import FILES_CLOSE_S, STDOUT_CLOSE_S, LogWriter, ThreadWriter
from mms.processes.exits import describe_exit
from mms.processes.interpreter import needed_environment

#: Log text in memory while the process does not take it: it is stopped, or starting.
_LIMIT_BYTES = 64 * 1024 * 1024
#: The most that Linux gives without privileges. What one turn of a busy server writes fits in.
_PIPE_BYTES = 1024 * 1024
#: Messages that one system call hands over; two buffers each, and the system takes 1,024.
_MESSAGES_PER_CALL = 256
#: A process that ends is replaced at once, and the next ones after this time.
_RESTART_S = 1.0
#: The process gives up before.
_CLOSE_S = FILES_CLOSE_S + STDOUT_CLOSE_S + 1.0
#: They say which day it is.
_TIME_VARIABLES = ("TZ", "TZDIR")
_READ_BYTES = 64 * 1024


class _Message:
    """Lines on their way. `pieces` is what the pipe has not taken."""

    __slots__ = ("has_begun", "items", "lines", "packed", "pieces", "size")

    def __init__(self, packed: bytes, items: int, lines: int) -> None:
        self.packed = packed
        self.size = len(packed)
        self.items = items
        self.lines = lines
        self.pieces: list[bytes | memoryview] = [HEADER.pack(len(packed)), packed]
        self.has_begun = False


class ProcessWriter(LogWriter):
    """The server's side of the process. Any thread may call it."""

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        stdout_fd: int,
        stderr_fd: int,
        *,
        layout: str = TEXT,
        limit_bytes: int = _LIMIT_BYTES,
    ) -> None:
        """Start the process. Raises OSError."""
        self._paths = [os.fspath(path) for path in paths]
        self._layout = layout
        self._stdout_fd = stdout_fd
        self._stderr_fd = stderr_fd
        self._limit_bytes = limit_bytes
        self._drops = DropReport("log-writer", self._report)
        self._lock = threading.RLock()
        self._messages: deque[_Message] = deque()
        self._waiting_bytes = 0
        #: Dropped here, or in processes that have ended; and what the present one says.
        self._dropped_before = 0
        self._sent_items = self._sent_lines = 0
        self._done_items = self._done_lines = self._dropped_lines = 0
        self._restart_at_s = 0.0
        self._is_closed = False
        self._program: subprocess.Popen[bytes] | None = None
        self._pipe = self._progress = -1
        self._start()

    def __repr__(self) -> str:
        return f"<ProcessWriter, process {self.pid}, {self._waiting_bytes} bytes wait>"

    @property
    def pid(self) -> int:
        """The number of the process; 0 while there is none."""
        return 0 if self._program is None else self._program.pid

    @property
    def dropped_lines(self) -> int:
        with self._lock:
            # Notices a process that has ended, too.
            self._send()
            return self._dropped_before + self._dropped_lines

    @property
    def is_behind(self) -> bool:
        return bool(self._messages)

    def put(self, items: Sequence[Lines]) -> None:
        dropped = 0
        with self._lock:
            if self._is_closed:
                return
            if items:
                packed, lines = pack(items), line_count(items)
                if self._waiting_bytes and self._waiting_bytes + len(packed) > self._limit_bytes:
                    dropped = lines
                else:
                    self._messages.append(_Message(packed, output_count(items), lines))
                    self._waiting_bytes += len(packed)
            self._dropped_before += dropped
            if self._messages:
                self._send()
            has_caught_up = not self._messages
        if dropped:
            self._drops.dropping(dropped)
        elif has_caught_up:
            self._drops.caught_up()

    def wait_until_written(self, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while True:
            with self._lock:
                self._send()
                self._read_progress()
                if not self._messages and self._done_items >= self._sent_items:
                    return True
                pipe, progress = self._pipe, self._progress
                is_behind = self.is_behind
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            if pipe < 0:
                time.sleep(min(left_s, 0.01))
            else:
                _wait(progress, pipe if is_behind else -1, left_s)

    def close(self) -> None:
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            deadline = time.monotonic() + _CLOSE_S
            while self._messages and self._pipe >= 0 and time.monotonic() < deadline:
                self._send()
                if self._messages and self._pipe >= 0:
                    _wait(-1, self._pipe, deadline - time.monotonic())
            if self._pipe >= 0:
                self._end(deadline)
            if self._messages:
                # There is no process, and no time to wait for another one.
                writer = ThreadWriter(
                    self._paths, self._stdout_fd, layout=self._layout, report=self._report
                )
                for message in self._messages:
                    writer.put(unpack(message.packed))
                writer.close()
                self._dropped_before += writer.dropped_lines
                self._messages.clear()

    def _end(self, deadline: float) -> None:
        """Close the pipe and wait for the process, which then writes what it has."""
        assert self._program is not None
        os.close(self._pipe)
        self._pipe = -1
        is_gone = False
        # It closes its end when it ends.
        while not is_gone and (left_s := deadline - time.monotonic()) > 0:
            _wait(self._progress, -1, left_s)
            is_gone = self._read_progress()
        if not is_gone:
            self._program.kill()
        exit_words = describe_exit(self._program.wait())
        self._read_progress()
        lost = self._settle()
        if not is_gone:
            # What has begun counts as sent.
            waiting = sum(m.lines for m in self._messages if not m.has_begun)
            self._messages.clear()
            self._dropped_before += waiting
            self._report(
                f"log-writer: the process {self._program.pid} does not take lines and was killed; at most "
                f"{lost + waiting} lines are lost."
            )
        elif lost:
            self._report(_ended(self._program.pid, exit_words, lost))
        os.close(self._progress)
        self._progress = -1
        self._program = None

    def _report(self, text: str) -> None:
        report_to_stderr(text, self._stderr_fd)

    # The process

    def _start(self) -> None:
        """Start a process. Raises OSError."""
        source, self._pipe = os.pipe()
        try:
            self._progress, progress_end = os.pipe()
            try:
                self._program = self._run(source, progress_end)
            finally:
                os.close(progress_end)
        except OSError:
            self._close_pipes()
            raise
        finally:
            os.close(source)
        os.set_blocking(self._pipe, False)
        os.set_blocking(self._progress, False)

    def _run(self, source: int, progress_end: int) -> subprocess.Popen[bytes]:
        with contextlib.suppress(ImportError, AttributeError, OSError):
            from fcntl import F_SETPIPE_SZ, fcntl

            fcntl(self._pipe, F_SETPIPE_SZ, _PIPE_BYTES)
        file = os.path.join(os.path.dirname(os.path.abspath(__file__)), "writer_process.py")
        # Isolated: neither the variables nor the folder that the server was started with say what it imports.
        return subprocess.Popen(
            [sys.executable, "-I", "-S", file, str(progress_end), self._layout, *self._paths],
            stdin=source,
            stdout=self._stdout_fd,
            stderr=self._stderr_fd,
            pass_fds=(progress_end,),
            env=needed_environment(*_TIME_VARIABLES),
            start_new_session=True,
        )

    def _close_pipes(self) -> None:
        for fd in (self._pipe, self._progress):
            if fd >= 0:
                os.close(fd)
        self._pipe = self._progress = -1

    def _send(self) -> None:
        """Hand over what the pipe takes."""
        if self._pipe < 0 and not self._restart():
            return
        if self._read_progress():
            self._on_ended(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))
            if self._pipe < 0:
                return
        while self._messages:
            some = list(islice(self._messages, _MESSAGES_PER_CALL))
            try:
                written = os.writev(
                    self._pipe, [piece for message in some for piece in message.pieces]
                )
            except BlockingIOError:
                return
            except OSError as error:
                self._on_ended(error)
                return
            self._take_off(written)

    def _take_off(self, written: int) -> None:
        """Forget what the pipe has taken."""
        while written:
            message = self._messages[0]
            if not message.has_begun:
                message.has_begun = True
                self._sent_items += message.items
                self._sent_lines += message.lines
            while message.pieces and written >= len(message.pieces[0]):
                written -= len(message.pieces.pop(0))
            if message.pieces:
                message.pieces[0] = memoryview(message.pieces[0])[written:]
                return
            self._messages.popleft()
            self._waiting_bytes -= message.size

    def _read_progress(self) -> bool:
        """Read what the process says it has done. Returns whether it has ended."""
        if self._progress < 0:
            return True
        while True:
            try:
                data = os.read(self._progress, _READ_BYTES // PROGRESS.size * PROGRESS.size)
            except BlockingIOError:
                return False
            if not data:
                return True
            # Two threads write them: a later one may have the smaller number of two.
            for items, lines, dropped in PROGRESS.iter_unpack(data):
                self._done_items = max(self._done_items, items)
                self._done_lines = max(self._done_lines, lines)
                self._dropped_lines = max(self._dropped_lines, dropped)

    def _settle(self) -> int:
        """Count what a process that has gone dropped and what is lost with it. Returns how many lines are lost."""
        lost = max(self._sent_lines - self._done_lines, 0)
        self._dropped_before += self._dropped_lines + lost
        self._sent_items = self._sent_lines = 0
        self._done_items = self._done_lines = self._dropped_lines = 0
        return lost

    def _on_ended(self, error: OSError) -> None:
        """The process has ended, though nobody has told it to. What it had taken is lost."""
        assert self._program is not None
        program, self._program = self._program, None
        self._read_progress()
        self._close_pipes()
        if error.errno != errno.EPIPE:
            program.kill()
        exit_words = describe_exit(program.wait())
        lost = self._settle()
        if self._messages and self._messages[0].has_begun:
            # A part of it would be no whole lines.
            self._waiting_bytes -= self._messages.popleft().size
        ended = _ended(program.pid, exit_words, lost)
        self._report(f"{ended} Another one is started." if self._restart() else ended)

    def _restart(self) -> bool:
        """Start a process if it is time for that. Returns whether one runs."""
        now = time.monotonic()
        if self._is_closed or now < self._restart_at_s:
            return False
        self._restart_at_s = now + _RESTART_S
        try:
            self._start()
        except OSError as error:
            self._report(f"log-writer: a process cannot be started: {error.strerror or error}.")
            return False
        return True


def _ended(pid: int, exit_words: str, lost: int) -> str:
    return f"log-writer: the process {pid} has ended ({exit_words}); at most {lost} lines are lost."


def _wait(reading: int, writing: int, timeout_s: float) -> None:
    """Wait until there is something to read, or room to write."""
    poller = select.poll()
    if reading >= 0:
        poller.register(reading, select.POLLIN)
    if writing >= 0:
        poller.register(writing, select.POLLOUT)
    poller.poll(max(timeout_s, 0) * 1000)
