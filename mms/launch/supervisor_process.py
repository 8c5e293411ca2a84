"""The supervisor: the process that starts the workers of a server. Run as a file, without installed packages.

Each worker has a keeper between it and this process (`mms/processes/keeper.py`), a fork of this one that adopts what
the worker leaves behind and ends it with the worker. Where a keeper is killed this process adopts: a child that nobody
asked for is killed with all below it. When the front ends, everything does.

Messages on the socket that is its standard input (`mms/processes/messages.py`). From the front:
`{"start": id, "command", "environment", "folder", "is_parent", "descriptors": 2}`, which are standard output and error,
or 3, with standard input; `{"keep": id, "pid", "below": id}`, the keeper of a process that one of the others forked;
`{"kill": id}`. To the front:
`{"started": id, "pid"}`, `{"failed": id, "error"}`, `{"ended": id, "code"}`, negative codes are signals.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from typing import Any, NoReturn

# This file is run by its path, isolated from the environment: the server's folder comes last, behind the library.
sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from mms.processes import prctl
from mms.processes.keeper import adopt_no_more, become_subreaper, end_children, end_like, keep
from mms.processes.messages import MessageReader, encode_message
from mms.processes.tree import is_below, kill_children, kill_trees, parent_of

_READ_BYTES = 64 * 1024


class Supervisor:
    """Starts processes for the front, and ends them with all that they started."""

    def __init__(self, front: socket.socket) -> None:
        self._front = front
        self._reader = MessageReader(front)
        #: By the front's id: processes that this one started, and those that one of them forked.
        self._started: dict[int, int] = {}
        self._kept: dict[int, int] = {}
        #: Of kept ones, which end without a word to this process: a descriptor that tells -> its id.
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
        """Serve what has come, and return whether the front is still there."""
        for descriptor, _ in self._poller.poll():
            if descriptor == self._front.fileno():
                if not self._receive():
                    return False
            elif descriptor == self._wakeup.fileno():
                self._drain_wakeups()
            else:
                # One that this process has adopted since has an exit code.
                self._reap()
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
        messages = self._reader.receive()
        for message in messages or ():
            self._take(message)
        return messages is not None

    def _take(self, message: dict[str, Any]) -> None:
        if "start" in message:
            self._start(message)
        elif "keep" in message:
            self._keep(message["keep"], message["pid"], message["below"])
        else:
            self._kill(message["kill"])

    def _start(self, message: dict[str, Any]) -> None:
        number = message["start"]
        streams = self._reader.take_descriptors(message["descriptors"])
        source, sink = os.pipe()
        try:
            pid = os.fork()
        except OSError as error:
            os.close(sink)
            reason = error.strerror or str(error)
        else:
            if pid == 0:
                keep_process(message, streams, sink)
            os.close(sink)
            with open(source, "rb", closefd=False) as reader:
                # Ends as soon as the program runs.
                reason = reader.read().decode("utf-8", "replace")
            if not reason:
                self._started[number] = pid
                self._send({"started": number, "pid": pid})
        finally:
            for descriptor in (*streams, source):
                os.close(descriptor)
        if reason:
            self._send({"failed": number, "error": reason})

    def _keep(self, number: int, pid: int, below: int) -> None:
        """Take on the keeper of a process that comes from another one of the front's."""
        ancestor = self._started.get(below) or self._kept.get(below)
        known = {*self._started.values(), *self._kept.values()}
        if ancestor is not None and is_below(pid, ancestor):
            # It has loaded: what comes from its workers is nothing for its own keeper.
            with contextlib.suppress(OSError):
                os.kill(ancestor, signal.SIGUSR1)
        elif pid in known or parent_of(pid) != os.getpid():
            # What forked it has not been gone for long, else this process has adopted it.
            self._send({"failed": number, "error": "what it is forked from has ended"})
            return
        self._kept[number] = pid
        with contextlib.suppress(AttributeError, OSError):
            descriptor = os.pidfd_open(pid)
            self._pidfds[descriptor] = number
            self._poller.register(descriptor, select.POLLIN)
        self._send({"started": number, "pid": pid})

    def _end_kept(self, number: int, code: int | None = None) -> None:
        if self._kept.pop(number, None) is None:
            return
        descriptor = self._pidfd_of(number)
        if descriptor is not None:
            self._poller.unregister(descriptor)
            os.close(descriptor)
            del self._pidfds[descriptor]
        self._kill_strangers()
        self._send({"ended": number, "code": code})

    def _pidfd_of(self, number: int) -> int | None:
        return next((fd for fd, its_number in self._pidfds.items() if its_number == number), None)

    def _kill(self, number: int) -> None:
        """What is below it is adopted then, and killed as a stranger."""
        pid = self._started.get(number)
        if pid is not None:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
            return
        pid = self._kept.get(number)
        descriptor = self._pidfd_of(number)
        if descriptor is not None:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        elif pid is not None:
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
            for pid, status in ended:
                for number in [n for n, its_pid in self._kept.items() if its_pid == pid]:
                    self._end_kept(number, os.waitstatus_to_exitcode(status))

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
        self._front.sendall(encode_message(message))

    def _end_all(self) -> None:
        for pid in self._started.values():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        end_children()


def keep_process(message: dict[str, Any], streams: list[int], failure: int) -> NoReturn:
    """Be the keeper of one process: its parent, which adopts and reaps what it leaves, and kills that when it ends.

    A parent of workers leaves its workers, too, of which the supervisor knows which ones may stay. Ends as the
    process did. `streams`: for its standard output, error and input. `failure`: where to write why it cannot start.
    """
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        # The front's socket is the supervisor's alone.
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        kept_open = {0, 1, 2, failure, *streams}
        for name in os.listdir("/dev/fd"):
            if int(name) not in kept_open:
                with contextlib.suppress(OSError):
                    os.close(int(name))
        become_subreaper()
        signal.signal(signal.SIGUSR1, lambda *_: adopt_no_more())
        try:
            process = subprocess.Popen(
                message["command"],
                stdin=streams[2] if len(streams) > 2 else subprocess.DEVNULL,
                stdout=streams[0],
                stderr=streams[1],
                cwd=message["folder"],
                env=message["environment"],
                start_new_session=True,
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            os.write(failure, reason.encode("utf-8", "replace"))
        else:
            os.closerange(1, max(failure, *streams) + 1)
            code = keep(process.pid, kills_rest=not message["is_parent"])
    finally:
        end_like(code)


def _wait_ended() -> list[tuple[int, int]]:
    """Return (process, status) of the children that have ended since the last call."""
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
