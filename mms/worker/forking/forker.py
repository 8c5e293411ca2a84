"""The process that forks workers as the front asks, each below a keeper of its own."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from typing import Any, NoReturn

from mms.processes.keeper import adopt_no_more, become_subreaper, end_like, keep
from mms.processes.messages import MessageReader, encode_message
from mms.worker.forking.identity import show_command
from mms.worker.surroundings import ignore_signals, keep_connection

_READ_BYTES = 4096
#: Where the options begin in a worker's command line.
_OPTIONS_FROM = 5


def take_channel() -> socket.socket:
    """The front's socket, which is the standard input at first; nothing is from now on, as in any worker."""
    channel = socket.socket(fileno=os.dup(0))
    # Programs of a handler do not have it, and processes that are forked close it.
    keep_connection(channel)
    _read_nothing()
    return channel


class Forker:
    """Serves the front's channel. It has one thread.

    From the front: `{"fork": id, "descriptors": 2, "is_parent", …}` with the worker's standard output and error, and
    with the channel of one that forks others. To the front: `{"forked": id, "pid"}`, where the process is the worker's
    keeper, `{"failed": id, "error"}`, `{"ended": id, "code"}`, negative codes are signals.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._reader = MessageReader(channel)
        #: Keeper -> the front's id of its worker.
        self._keepers: dict[int, int] = {}

    def __repr__(self) -> str:
        return f"<Forker of {len(self._keepers)} workers>"

    def receive(self) -> list[dict[str, Any]] | None:
        """Wait for messages; None where the front is gone."""
        try:
            return self._reader.receive()
        except ConnectionError:
            return None

    def send(self, message: dict[str, Any]) -> None:
        """Raises OSError where the front is gone."""
        self._channel.sendall(encode_message(message))

    def serve(self) -> dict[str, Any] | None:
        """Returns in each worker that is forked what was asked for, and in this process None when the front is gone."""
        wakeup, wakeup_end = socket.socketpair()
        for end in (wakeup, wakeup_end):
            end.setblocking(False)
        signal.set_wakeup_fd(wakeup_end.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        poller = select.poll()
        for connection in (self._channel, wakeup):
            poller.register(connection, select.POLLIN)
        own = (wakeup, wakeup_end)
        try:
            while True:
                ready = {descriptor for descriptor, _ in poller.poll()}
                if wakeup.fileno() in ready:
                    _drain(wakeup)
                    self._reap()
                if self._channel.fileno() in ready:
                    messages = self.receive()
                    if messages is None:
                        return None
                    for message in messages:
                        if self._fork(message, own):
                            return message
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

    def _fork(self, message: dict[str, Any], own: tuple[socket.socket, ...]) -> bool:
        """Returns True in the worker."""
        number = message["fork"]
        streams = self._reader.take_descriptors(message["descriptors"])
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            pid = os.fork()
        except OSError as error:
            self.send({"failed": number, "error": f"cannot be forked: {error.strerror}"})
        else:
            if pid == 0:
                for connection in own:
                    connection.close()
                be_kept(message["command"], is_parent=message["is_parent"])
                _take_streams(streams)
                return True
            self._keepers[pid] = number
            self.send({"forked": number, "pid": pid})
        for descriptor in streams:
            os.close(descriptor)
        return False


def be_kept(command: list[str], *, is_parent: bool) -> None:
    """Fork once more, and return in the worker alone, in a session of its own. Its parent is its keeper.

    `command`: of the worker. `is_parent`: it forks others itself, so that what it leaves is not its keeper's to end
    once that gets SIGUSR1.
    """
    # Out of the group of what forked it, whose end is not the worker's.
    _begin_session()
    become_subreaper()
    if is_parent:
        signal.signal(signal.SIGUSR1, lambda *_: adopt_no_more())
    pid = os.fork()
    if pid:
        show_command(["mms.processes.keeper", *command[_OPTIONS_FROM:]])
        _keep(pid, kills_rest=not is_parent)
    _begin_session()
    if is_parent:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)


def _begin_session() -> None:
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ignore_signals()


def _keep(pid: int, *, kills_rest: bool) -> NoReturn:
    code = 1
    try:
        os.closerange(3, max(int(name) for name in os.listdir("/dev/fd")) + 1)
        _redirect(os.open(os.devnull, os.O_RDWR), 0, 1, 2)
        code = keep(pid, kills_rest=kills_rest)
    finally:
        end_like(code)


def _take_streams(streams: list[int]) -> None:
    _redirect(streams[0], 1)
    _redirect(streams[1], 2)
    if len(streams) > 2:
        _redirect(streams[2], 0)


def _read_nothing() -> None:
    _redirect(os.open(os.devnull, os.O_RDONLY), 0)


def _redirect(descriptor: int, *places: int) -> None:
    for place in places:
        os.dup2(descriptor, place)
    if descriptor not in places:
        os.close(descriptor)


def _drain(wakeup: socket.socket) -> None:
    try:
        while wakeup.recv(_READ_BYTES):
            continue
    except BlockingIOError:
        return
