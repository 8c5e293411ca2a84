"""Starts one server and keeps hold of every process that comes of it, so that none outlives a visit.

    python -I benchmarks/keeper.py <command> [<argument> ...]

Linux hands orphans to the nearest "child subreaper" above them. The keeper is one, so servers that make
themselves daemons, and what they start, stay below it in the process tree. It prints one JSON line
`{"pid": ..., "started_at_s": ...}` (the clock is time.monotonic) and ends with its last descendant.
SIGTERM ends all of them; so does the end of the process that started the keeper.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from types import FrameType

import psutil

# linux/prctl.h
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
GRACE_S = 10.0
_POLL_S = 0.02


class _StopRequested(Exception):
    pass


def main(command: list[str]) -> int:
    parent_pid = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((_PR_SET_CHILD_SUBREAPER, 1), (_PR_SET_PDEATHSIG, signal.SIGTERM)):
        if libc.prctl(option, int(value), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), f"prctl({option}) failed")
    if os.getppid() != parent_pid:
        return 1
    _raise_open_file_limit()
    signal.signal(signal.SIGTERM, _ask_to_stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the starting process's to handle
    server: subprocess.Popen[bytes] | None = None
    try:
        started_at_s = time.monotonic()
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,  # stdout is for the one line below
            start_new_session=True,
        )
        print(json.dumps({"pid": server.pid, "started_at_s": started_at_s}), flush=True)
        return _reap_until_none_is_left(server.pid)
    except _StopRequested:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _end_all(server.pid if server is not None else None)
        return 0


def _ask_to_stop(_number: int, _frame: FrameType | None) -> None:
    raise _StopRequested


def _raise_open_file_limit() -> None:
    """A thousand connections need more than the usual 1,024 files."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _reap_until_none_is_left(server_pid: int) -> int:
    exit_code = 0
    while True:
        try:
            pid, status = os.waitpid(-1, 0)
        except ChildProcessError:
            return exit_code
        if pid == server_pid:
            exit_code = os.waitstatus_to_exitcode(status)


def _end_all(server_pid: int | None) -> None:
    """SIGTERM to the server alone, as an operator would; after the grace, SIGKILL to whatever is left."""
    for process in _descendants():
        _signal(process, signal.SIGCONT)
    if server_pid is not None and not _is_reaped(server_pid):
        os.kill(server_pid, signal.SIGTERM)
        _wait_for_the_end(GRACE_S)
    deadline_s = time.monotonic() + GRACE_S
    while (left := _descendants()) and time.monotonic() < deadline_s:
        for process in left:
            _signal(process, signal.SIGKILL)
        _wait_for_the_end(_POLL_S)


def _is_reaped(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def _wait_for_the_end(timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        try:
            while os.waitpid(-1, os.WNOHANG)[0] != 0:
                pass
        except ChildProcessError:
            return
        time.sleep(_POLL_S)


def _descendants() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
