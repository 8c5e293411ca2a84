"""Bringing the server's process up: in this process's place, or in the background."""

from __future__ import annotations

import contextlib
import math
import os
import re
import select
import signal
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from mms.cli.pid_file import PidFile, PidFileError
from mms.errors import ConfigurationError
from mms.processes.exits import describe_exit
from mms.processes.launch_options import STARTED, LaunchOptions

#: How often a start that takes long says that it is still under way, in seconds.
_PROGRESS_S = 5.0
#: Time for a server to end whose start was interrupted, in seconds.
_END_S = 10.0
# With `-m` the current folder would be searched for modules first: a `queue.py` in it would take the place of Python's.
# Imports leave next to no garbage, and would be searched for it all the time: see `mms/processes/garbage.py`.
_PROGRAM = (
    "import gc, sys; gc.disable(); sys.path = sys.path['' in sys.path[:1]:]; "
    "from mms.server import main; sys.exit(main())"
)


class _NotUpInTime(Exception):
    """The message is one line for people."""


@dataclass(slots=True)
class _Report:
    """What a server says of its start; see `LaunchOptions.ready_fd`."""

    is_up: bool = False
    is_ready: bool = False
    is_over: bool = False
    reason: str = ""
    banner: list[str] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)

    def take(self, line: str) -> None:
        kind, _, text = line.partition(": ")
        if kind == "up":
            self.is_up = True
        elif kind == "ready":
            self.is_up = self.is_ready = self.is_over = True
        elif kind == "failed":
            self.reason, self.is_over = text, True
        elif kind == "warning":
            print(f"Warning: {text}", file=sys.stderr, flush=True)
        elif kind == "banner":
            self.banner.append(text)
        elif kind == "row":
            self.rows.append(text)


def become(
    options: LaunchOptions,
    pid_file: PidFile | None = None,
    variables: Mapping[str, str] | None = None,
) -> NoReturn:
    """Turn this process into the server: its signals and its exit code are the server's own.

    `variables` are added to its environment.
    """
    if pid_file is not None:
        pid_file.write(os.getpid())
    command = server_command(options)
    os.execve(command[0], command, {**_environment(), **(variables or {})})


def start(options: LaunchOptions, pid_file: PidFile, *, keeps_streams: bool = False) -> int:
    """Start the server in the background; return when its models have loaded or failed, or when the start has failed.

    The server lets go of standard streams whose end somebody may wait for, unless it `keeps_streams`.
    """
    read_fd, write_fd = os.pipe()
    options.ready_fd = write_fd
    os.set_inheritable(write_fd, True)
    streams = [] if keeps_streams else [fd for fd in (1, 2) if is_waited_for(fd)]
    with tempfile.TemporaryFile() as errors:
        file_actions: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
        if 1 in streams:
            file_actions.append((os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0))
        if 2 in streams:
            file_actions.append((os.POSIX_SPAWN_DUP2, errors.fileno(), 2))
        pid = os.posix_spawn(
            sys.executable,
            server_command(options),
            _environment(),
            file_actions=file_actions,
            setsid=True,
        )
        os.close(write_fd)
        try:
            pid_file.write(pid)
            with _holding_interrupts():
                timeout_s = _start_timeout_s(options)
            report = _await_report(read_fd, timeout_s)
        except _NotUpInTime as error:
            _end(pid)
            pid_file.remove(of=pid)
            print(error)
            return 1
        except (KeyboardInterrupt, PidFileError):
            _end(pid)
            pid_file.remove(of=pid)
            raise
        finally:
            os.close(read_fd)
        errors.seek(0)
        sys.stderr.write(errors.read().decode("utf-8", "replace"))
    if report.is_ready:
        if 1 in streams:
            # Otherwise the server has written so itself.
            banner = report.banner if sys.stdout.isatty() else []
            print(*banner, STARTED, *report.rows, sep="\n")
        return 0
    _, status = os.waitpid(pid, 0)
    pid_file.remove(of=pid)
    ended = describe_exit(os.waitstatus_to_exitcode(status))
    print(
        report.reason or f"The server process ended before it was ready: {ended}.",
        *report.rows,
        sep="\n",
    )
    return 1


def is_waited_for(fd: int) -> bool:
    """Return whether somebody may wait for a stream's end: the reader of a pipe, or the session of a terminal.

    Nobody waits for a file's, nor for systemd's journal, nor for the log of a container, which its first process holds
    for as long as it runs.
    """
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode):
        return False
    if stat.S_ISCHR(status.st_mode):
        return os.isatty(fd)
    if os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}":
        return False
    return not any(_is_same(fd, f"/proc/1/fd/{number}") for number in (1, 2))


def _is_same(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except OSError:
        return False


def server_command(options: LaunchOptions) -> list[str]:
    """Return the words of the command that runs the server."""
    return [sys.executable, "-c", _PROGRAM, *options.to_argv()]


def _environment() -> dict[str, str]:
    """Return our environment, in which the server's process finds this package even if it is not installed."""
    environment = dict(os.environ)
    home = str(Path(__file__).resolve().parents[2])
    if not re.search(r"(site|dist)-packages$", home):
        paths = [environment.get("PYTHONPATH", ""), home]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return environment


@contextlib.contextmanager
def _holding_interrupts() -> Iterator[None]:
    """Have Ctrl-C wait for the end: in an import it may come in the middle of a destructor, where it is lost."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if came:
        raise KeyboardInterrupt


def _start_timeout_s(options: LaunchOptions) -> float:
    """Return how long the server may take to come up; infinity for no limit."""
    # The server is starting meanwhile, so that this import costs no time.
    from mms.settings import load_settings

    try:
        return load_settings(options, environ=os.environ).start_timeout_s or math.inf
    except ConfigurationError:
        # The server is about to say so itself.
        return math.inf


def _await_report(read_fd: int, timeout_s: float) -> _Report:
    """Return what the server says until its start is over, or it has ended. Raises _NotUpInTime.

    The limit holds until it listens.
    """
    report = _Report()
    received = b""
    started = time.monotonic()
    while True:
        waited_s = time.monotonic() - started
        left_s = math.inf if report.is_up else timeout_s - waited_s
        if left_s <= 0:
            raise _NotUpInTime(
                f"The server was not up after {timeout_s:g} seconds and has been stopped; "
                "start_timeout_s sets the limit."
            )
        ready, _, _ = select.select([read_fd], [], [], min(_PROGRESS_S, left_s))
        if not ready:
            if sys.stderr.isatty():
                print(_progress(report, time.monotonic() - started), file=sys.stderr)
            continue
        chunk = os.read(read_fd, 65536)
        received += chunk
        *lines, received = received.split(b"\n")
        for line in lines if chunk else [*lines, received]:
            report.take(line.decode("utf-8", "replace").strip())
        if report.is_over or not chunk:
            return report


def _progress(report: _Report, waited_s: float) -> str:
    if report.is_up:
        return f"The server is up; waiting for its models to load ({waited_s:.0f} s) ..."
    return f"Waiting for the server to come up with its models ({waited_s:.0f} s) ..."


def _end(pid: int) -> None:
    """End a server that is our child."""
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _END_S
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
