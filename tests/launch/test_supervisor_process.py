"""The supervisor's own process, run as the front runs it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Any

import pytest
from support.waiting import eventually

import mms
from mms.processes.tree import Processes, parent_of

_FILE = Path(mms.__file__).parent / "launch" / "supervisor_process.py"
_LENGTH = Struct("!I")
_WAIT_S = 30.0
#: Half of how long it tries to end what cannot be ended.
_SOON_S = 5.0


class Front:
    """The other end of a supervisor's socket."""

    def __init__(self) -> None:
        self.socket, its_end = socket.socketpair()
        self.socket.settimeout(_WAIT_S)
        with its_end:
            self.program = subprocess.Popen([sys.executable, "-I", "-S", _FILE], stdin=its_end)

    def start(self, number: int, command: list[str]) -> int:
        """Returns the process of its keeper."""
        message = {"start": number, "command": command, "folder": "/", "is_parent": False}
        message["descriptors"] = 2
        content = json.dumps({**message, "environment": dict(os.environ)}).encode()
        sink = os.open(os.devnull, os.O_WRONLY)
        socket.send_fds(self.socket, [_LENGTH.pack(len(content)) + content], [sink, sink])
        os.close(sink)
        return int(self.hear()["pid"])

    def hear(self) -> dict[str, Any]:
        (length,) = _LENGTH.unpack(self.socket.recv(_LENGTH.size, socket.MSG_WAITALL))
        return dict(json.loads(self.socket.recv(length, socket.MSG_WAITALL)))


@pytest.fixture
def front() -> Iterator[Front]:
    front = Front()
    yield front
    front.socket.close()
    front.program.wait(_WAIT_S)


def test_processes_that_end_with_the_front_are_not_waited_for(front: Front) -> None:
    """Their numbers may be others' by then."""
    keepers = [front.start(number, ["sleep", "600"]) for number in (1, 2)]
    workers = [pid for keeper in keepers for pid in Processes().children(keeper)]
    front.socket.shutdown(socket.SHUT_RD)
    front.program.send_signal(signal.SIGSTOP)
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    # It is stopped, so that it finds the ends of both at once.
    eventually("both have ended", lambda: all(is_zombie(pid) for pid in keepers), _WAIT_S, 0.0)
    began_at = time.monotonic()
    front.program.send_signal(signal.SIGCONT)
    front.program.wait(_WAIT_S)
    assert time.monotonic() - began_at < _SOON_S


def is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_all_ends_with_the_front(front: Front) -> None:
    keeper = front.start(1, ["sleep", "600"])
    front.socket.close()
    front.program.wait(_SOON_S)
    assert parent_of(keeper) is None
