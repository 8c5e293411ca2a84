"""The supervisor: the process that starts the workers of a server. Run as a file, without installed packages.

Each worker has a keeper between it and this process (`mms/processes/keeper.py`), a fork of this one that adopts what
the worker leaves behind and ends it with the worker. Where a keeper is killed this process adopts: a child that nobody
asked for is killed with all below it. When the front ends, everything does.

Messages on the socket that is its standard input, each a length (u32, big-endian) and JSON. From the front:
`{"start": id, "command", "environment", "folder", "is_parent"}` with two descriptors, the standard output and error;
`{"keep": id, "pid", "below": id}`, a process that one of the started ones forked; `{"kill": id}`. To the front:
`{"started": id, "pid"}`, `{"failed": id, "error"}`, `{"ended": id, "code"}`, negative codes are signals.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from struct import Struct
from typing import Any, NoReturn

# This file is run by its path, isolated from the environment: the server's folder comes last, behind the library.
sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from mms.processes import prctl
from mms.processes.keeper import adopt_no_more, become_subreaper, end_children, end_like, keep
from mms.processes.tree import is_below, kill_children, kill_trees, parent_of

_LENGTH = Struct("!I")
_READ_BYTES = 64 * 1024


class Supervisor:
    """Starts processes for the front, and ends them with all that they started."""

    def __init__(self, front: socket.socket) -> None:
        self._front = front
        self._received = b""
        self._descriptors: list[int] = []
        #: By the front's id: processes that this one started, and those that one of them forked.
        self._started: dict[int, int] = {}
        self._kept: dict[int, int] = {}
        #: Of kept ones, which end without a word to this process: a descriptor that tells, and its id.
        self._pidfds: dict[int, int] = {}
        self._poller = select.poll()
        self._poller.register(front, select.POLLIN)
        self._wakeup, wakeup_end = socket.socketpair()
        for end in (self._wakeup, wakeup_end):
            end.setblocking(False)
        self._wakeup_end = wakeup_end
        self._poller.register(self._wakeup, select.POLLIN)
        signal.set_wakeup_fd(wakeup_end.fileno(), warn_on_full_buffer=False)
        # Functions, not SIG_IGN, which workers would inherit. The front alone ends this process.
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)

    def run(self) -> None:
        """Serve the front until it is gone, then end all processes."""
        try:
            while self._serve_once():
                continue
        except ConnectionError:
            # It ended while it was told of something.
            pass
        finally:
            self._end_all()

    def _serve_once(self) -> bool:
        """Returns whether the front is still there."""
        for descriptor, _ in self._poller.poll():
            if descriptor == self._front.fileno():
                if not self._receive():
                    return False
            elif descriptor == self._wakeup.fileno():
                self._drain_wakeups()
            else:
                number = self._pidfds.get(descriptor)
                if number is not None:
                    self._end_kept(number)
        self._reap()
        return True

    def _drain_wakeups(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wakeup.recv(_READ_BYTES):
                continue

    def _receive(self) -> bool:
        content, descriptors, _, _ = socket.recv_fds(
            self._front, _READ_BYTES, 16, getattr(socket, "MSG_CMSG_CLOEXEC", 0)
        )
        if not content:
            return False
        self._received += content
        self._descriptors += descriptors
        while len(self._received) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._received)
            end = _LENGTH.size + length
            if len(self._received) < end:
                break
            message = json.loads(self._received[_LENGTH.size : end])
            self._received = self._received[end:]
            self._take(message)
        return True

    def _take(self, message: dict[str, Any]) -> None:
        if "start" in message:
            self._start(message)
        elif "keep" in message:
            self._keep(message["keep"], message["pid"], message["below"])
        else:
            self._kill(message["kill"])

    def _start(self, message: dict[str, Any]) -> None:
        number = message["start"]
        outputs, self._descriptors = self._descriptors[:2], self._descriptors[2:]
        source, sink = os.pipe()
        try:
            pid = os.fork()
        except OSError as error:
            os.close(sink)
            reason = error.strerror or str(error)
        else:
            if pid == 0:
                keep_process(message, outputs, sink)
            os.close(sink)
            with open(source, "rb", closefd=False) as reader:
                # Ends as soon as the program runs.
                reason = reader.read().decode("utf-8", "replace")
            if not reason:
                self._started[number] = pid
                self._send({"started": number, "pid": pid})
        finally:
            for descriptor in (*outputs, source):
                os.close(descriptor)
        if reason:
            self._send({"failed": number, "error": reason})

    def _keep(self, number: int, pid: int, below: int) -> None:
        """Take on a process that comes from a started one, by the keeper that it has for a parent."""
        ancestor = self._started.get(below)
        keeper = parent_of(pid)
        if ancestor is None or keeper is None or not is_below(keeper, ancestor):
            self._send({"ended": number, "code": None})
            return
        pid = self._kept[number] = keeper
        # It has loaded: what comes from its workers is nothing for its own keeper.
        os.kill(ancestor, signal.SIGUSR1)
        try:
            descriptor = os.pidfd_open(pid)
        except (AttributeError, OSError):
            return
        self._pidfds[descriptor] = number
        self._poller.register(descriptor, select.POLLIN)

    def _end_kept(self, number: int) -> None:
        if self._kept.pop(number, None) is None:
            return
        for descriptor, its_number in list(self._pidfds.items()):
            if its_number == number:
                self._poller.unregister(descriptor)
                os.close(descriptor)
                del self._pidfds[descriptor]
        self._kill_strangers()
        self._send({"ended": number, "code": None})

    def _kill(self, number: int) -> None:
        pid = self._started.get(number)
        if pid is not None:
            # What is below it is adopted then, and killed as a stranger.
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
            return
        pid = self._kept.get(number)
        if pid is not None:
            # Once it has ended its number may be anybody's.
            if is_below(pid, os.getpid()):
                kill_trees([pid])
            self._end_kept(number)

    def _reap(self) -> None:
        """Tell of the ends of children, after what they left is killed."""
        while ended := _wait_ended():
            numbers = self._forget(ended)
            self._kill_strangers()
            for number, code in numbers:
                self._send({"ended": number, "code": code})
            for pid, _ in ended:
                for number in [n for n, its_pid in self._kept.items() if its_pid == pid]:
                    self._end_kept(number)

    def _forget(self, ended: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return (number, exit code) of the started ones: their processes' numbers may be others' from now on."""
        codes = {pid: os.waitstatus_to_exitcode(status) for pid, status in ended}
        numbers = [(number, pid) for number, pid in self._started.items() if pid in codes]
        for number, _ in numbers:
            del self._started[number]
        return [(number, codes[pid]) for number, pid in numbers]

    def _kill_strangers(self) -> None:
        """Kill children that nobody asked for: they were adopted when what had started them ended."""
        known = {*self._started.values(), *self._kept.values()}
        # Each end of one wakes this process, which finds what that one left.
        kill_children(spared=known)

    def _send(self, message: dict[str, Any]) -> None:
        payload = json.dumps(message).encode()
        self._front.sendall(_LENGTH.pack(len(payload)) + payload)

    def _end_all(self) -> None:
        for pid in self._started.values():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        end_children()


def keep_process(message: dict[str, Any], outputs: list[int], failure: int) -> NoReturn:
    """Be the keeper of one process: its parent, which adopts and reaps what it leaves, and kills that when it ends.

    A parent of workers leaves its workers, too, of which the supervisor knows which ones may stay. Ends as the
    process did. `failure`: where to write why it cannot be started.
    """
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        # The front's socket is the supervisor's alone.
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        kept_open = {0, 1, 2, failure, *outputs}
        for name in os.listdir("/dev/fd"):
            if int(name) not in kept_open:
                with contextlib.suppress(OSError):
                    os.close(int(name))
        become_subreaper()
        signal.signal(signal.SIGUSR1, lambda *_: adopt_no_more())
        try:
            process = subprocess.Popen(
                message["command"],
                stdin=subprocess.DEVNULL,
                stdout=outputs[0],
                stderr=outputs[1],
                cwd=message["folder"],
                env=message["environment"],
                start_new_session=True,
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            os.write(failure, reason.encode("utf-8", "replace"))
        else:
            os.closerange(1, max(failure, *outputs) + 1)
            code = keep(process.pid, kills_rest=not message["is_parent"])
    finally:
        end_like(code)


def _wait_ended() -> list[tuple[int, int]]:
    """(process, status) of the children that have ended since the last call."""
    ended: list[tuple[int, int]] = []
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            ended.append((pid, status))
    return ended


if __name__ == "__main__":
    become_subreaper()
    # It has the environments of workers in memory.
    prctl.set_option(prctl.DUMPABLE, 0)
    Supervisor(socket.socket(fileno=0)).run()
