"""Bringing the server's process up: in this process's place, or in the background."""

from __future__ import annotations

import math
import os
import re
import select
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from mms.cli.pid_file import PidFile, PidFileError
from mms.errors import ConfigurationError
from mms.launch_options import LaunchOptions

#: How often a start that takes long says that it is still under way, in seconds.
_PROGRESS_S = 5.0
#: Time for a server to end whose start was interrupted, in seconds.
_END_S = 10.0
# With `-m` the current folder would be searched for modules first: a `queue.py` in it would take the place of Python's.
_PROGRAM = "import sys; sys.path = sys.path['' in sys.path[:1]:]; from mms.server import main; sys.exit(main())"


class _NotUpInTime(Exception):
    """The message is one line for people."""


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


def start(options: LaunchOptions, pid_file: PidFile) -> int:
    """Start the server in the background; return when it serves, or has failed."""
    read_fd, write_fd = os.pipe()
    options.ready_fd = write_fd
    os.set_inheritable(write_fd, True)
    pid = os.posix_spawn(
        sys.executable,
        server_command(options),
        _environment(),
        file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)],
        setsid=True,
    )
    os.close(write_fd)
    try:
        pid_file.write(pid)
        line = _await_line(read_fd, _start_timeout_s(options))
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
    if line == "ready":
        return 0
    _, status = os.waitpid(pid, 0)
    pid_file.remove(of=pid)
    print(
        line.removeprefix("failed: ")
        or f"The server process ended with {_describe(status)} before it was ready."
    )
    return 1


def server_command(options: LaunchOptions) -> list[str]:
    """What runs the server."""
    return [sys.executable, "-c", _PROGRAM, *options.to_argv()]


def _environment() -> dict[str, str]:
    """Ours, with this package found by the server's process even where it is not installed."""
    environment = dict(os.environ)
    home = str(Path(__file__).resolve().parents[2])
    if not re.search(r"(site|dist)-packages$", home):
        paths = [environment.get("PYTHONPATH", ""), home]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return environment


def _start_timeout_s(options: LaunchOptions) -> float:
    """How long the server may take to come up; infinity for no limit."""
    # The server is starting meanwhile, so that this import costs no time.
    from mms.settings import load_settings

    try:
        return load_settings(options, environ=os.environ).start_timeout_s or math.inf
    except ConfigurationError:
        # The server is about to say so itself.
        return math.inf


def _await_line(read_fd: int, timeout_s: float) -> str:
    """The server's one line, or what there is of it when the server ends. Raises _NotUpInTime."""
    received = b""
    started = time.monotonic()
    while not received.endswith(b"\n"):
        waited_s = time.monotonic() - started
        if waited_s >= timeout_s:
            raise _NotUpInTime(
                f"The server was not up after {timeout_s:g} seconds and has been stopped; "
                "start_timeout_s sets the limit."
            )
        ready, _, _ = select.select([read_fd], [], [], min(_PROGRESS_S, timeout_s - waited_s))
        if not ready:
            if sys.stderr.isatty():
                waited_s = time.monotonic() - started
                print(
                    f"Waiting for the server to come up with its models ({waited_s:.0f} s) ...",
                    file=sys.stderr,
                )
            continue
        chunk = os.read(read_fd, 65536)
        if not chunk:
            break
        received += chunk
    return received.decode("utf-8", "replace").strip()


def _end(pid: int) -> None:
    """End a server that is our child."""
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _END_S
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _describe(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"signal {signal.Signals(os.WTERMSIG(status)).name}"
    return f"exit code {os.WEXITSTATUS(status)}"
