"""The process that forks workers as the front asks, each below a keeper of its own.

What this process writes to its memory after a fork, and what a keeper does before the fork of its worker, are copies of
pages that one more worker costs. So it forks first: the keeper reads what is asked for.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import sys
from typing import Any

from mms.processes import prctl
from mms.processes.keeper import become_subreaper, end_like, keep
from mms.processes.messages import encode_message, receive_message
from mms.worker.forking.identity import show_command
from mms.worker.process.setup import ignore_signals, keep_connection

_READ_BYTES = 4096
_KEEPER = ("mms.processes.keeper",)
#: Descriptors of a keeper are below this; Linux closes a range of them with one call.
_MOST_DESCRIPTORS = 1 << 16

_library = ctypes.PyDLL(None, use_errno=True)


class Forker:
    """Serves the front's channel. It has one thread.

    From the front: `{"fork": id, "descriptors": 2, "is_parent", …}` with the worker's standard output and error, and
    with the channel of one that forks others. To the front: `{"forked": id, "pid"}`, where the process is the worker's
    keeper, `{"failed": id, "error"}`, `{"ended": id, "code"}`, negative codes are signals.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        #: Keeper -> the front's id of its worker.
        self._keepers: dict[int, int] = {}

    def __repr__(self) -> str:
        return f"<Forker of {len(self._keepers)} workers>"

    def send(self, message: dict[str, Any]) -> None:
        """Send a message to the front. Raises OSError where the front is gone."""
        self._channel.sendall(encode_message(message))

    def serve(self) -> dict[str, Any] | None:
        """Return in each worker that is forked what was asked for, and in this process None when the front is gone."""
        wakeup, wakeup_end = socket.socketpair()
        for end in (wakeup, wakeup_end):
            end.setblocking(False)
            keep_connection(end)
        signal.set_wakeup_fd(wakeup_end.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _wake)
        # For the keepers.
        prctl.load()
        poller = select.poll()
        for connection in (self._channel, wakeup):
            poller.register(connection, select.POLLIN)
        try:
            while True:
                ready = {descriptor for descriptor, _ in poller.poll()}
                if wakeup.fileno() in ready:
                    _drain(wakeup)
                    self._reap()
                if self._channel.fileno() in ready:
                    if not self._channel.recv(1, socket.MSG_PEEK):
                        return None
                    asked = self._fork()
                    if asked is not None:
                        return asked
        except ConnectionError:
            return None

    def _reap(self) -> None:
        """Tell of the ends of workers. Programs of a model that was loaded here are reaped, too."""
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                number = self._keepers.pop(pid, None)
                if number is not None:
                    self.send({"ended": number, "code": os.waitstatus_to_exitcode(status)})
        except ChildProcessError:
            return

    def _fork(self) -> dict[str, Any] | None:
        """Fork what the next message asks for. Returns the message in the worker, None in this process."""
        sys.stdout.flush()
        sys.stderr.flush()
        source, sink = os.pipe()
        pid = _fork_plainly()
        problem = os.strerror(ctypes.get_errno()) if pid < 0 else "the new process has ended"
        if pid == 0 and _fork_below_keeper():
            os.close(source)
            return self._be_worker(sink)
        os.close(sink)
        number = os.read(source, _READ_BYTES) if pid > 0 else b""
        os.close(source)
        if number:
            # The worker has read the message.
            self._keepers[pid] = int(number)
        else:
            self._refuse(problem)
        return None

    def _be_worker(self, sink: int) -> dict[str, Any]:
        message, streams = receive_message(self._channel)
        if message is None:
            os._exit(0)
        # By this process, as each page that the keeper writes to is one of its own.
        self.send({"forked": message["fork"], "pid": os.getppid()})
        os.write(sink, b"%d" % message["fork"])
        os.close(sink)
        ctypes.pythonapi.PyOS_AfterFork_Child()
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        ignore_signals()
        for place, descriptor in zip((1, 2, 0), streams, strict=False):
            os.dup2(descriptor, place)
            os.close(descriptor)
        return message

    def _refuse(self, reason: str) -> None:
        message, descriptors = receive_message(self._channel)
        for descriptor in descriptors:
            os.close(descriptor)
        if message is not None:
            self.send({"failed": message["fork"], "error": f"cannot be forked: {reason}"})


def _fork_plainly() -> int:
    """Fork without what Python does around a fork, which concerns threads: the process has none, and a keeper never."""
    pid: int = _library.fork()
    return pid


def _fork_below_keeper() -> bool:
    """Fork the worker, and return True there. This process is its keeper, and ends here."""
    code = 1
    try:
        # Out of the group of what forked it, whose end is not the worker's.
        os.setsid()
        become_subreaper()
        ctypes.pythonapi.PyOS_BeforeFork()
        pid = _fork_plainly()
        if pid == 0:
            return True
        if pid > 0:
            signal.set_wakeup_fd(-1)
            os.closerange(3, _MOST_DESCRIPTORS)
            # Nothing is read there, and nothing is written.
            os.dup2(0, 1)
            os.dup2(0, 2)
            show_command(_KEEPER)
            code = keep(pid)
    except BaseException:
        end_like(code)
    end_like(code)


def _wake(*_: object) -> None:
    return


def _drain(wakeup: socket.socket) -> None:
    try:
        while wakeup.recv(_READ_BYTES):
            continue
    except BlockingIOError:
        return
