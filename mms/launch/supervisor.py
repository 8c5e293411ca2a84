"""The front's side of the supervisor, the process that starts workers."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mms import faults
from mms.launch.line_turns import Lines, LineTurns
from mms.launch.message_channel import MessageChannel, close_all
from mms.processes.exits import describe_exit
from mms.processes.interpreter import needed_environment

logger = logging.getLogger("mms.launch")

_READ_BYTES = 64 * 1024
#: How long the supervisor may take to end what runs, in seconds; it gives up a little earlier itself.
_END_S = 12.0
#: How long output of a process that is gone may still come, in seconds.
_LAST_OUTPUT_S = 0.5
#: A line of output is passed on at this length at the latest, so that an endless line does not pile up.
_LINE_BYTES = 32 * 1024
_STREAMS = ("stdout", "stderr")

#: How long the code of a forked one that has ended is waited for, in seconds.
_EXIT_CODE_S = 0.25

OnOutput = Callable[[str, str], None]
"""Called with `stdout` or `stderr`, and a line."""


class SupervisedProcess:
    """A process of the supervisor's: its output by lines, its end.

    `ended` is done with the exit in words once the process is gone and its output has come.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        number: int,
        on_output: OnOutput,
        *,
        is_forked: bool = False,
    ) -> None:
        self._supervisor = supervisor
        self.number = number
        #: By another one of these, not by the supervisor.
        self.is_forked = is_forked
        #: Of its keeper, which ends with it; 0 until it is started.
        self.pid = 0
        loop = asyncio.get_running_loop()
        self.started: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[str] = loop.create_future()
        self._on_output = on_output
        self._exit = ""
        self._pipes: set[_OutputPipe] = set()

    def __repr__(self) -> str:
        return f"<SupervisedProcess {self.number}, pid {self.pid}>"

    def kill(self) -> None:
        """SIGKILL to it and to all that it started, but not to processes that it forked and that are kept."""
        if not self.ended.done():
            self._supervisor.send({"kill": self.number})

    def open_pipes(self) -> list[int]:
        """Return the ends for the process, standard output and error. Raises OSError, and then leaves none open."""
        ends: list[int] = []
        try:
            for name in _STREAMS:
                pipe, sink = _OutputPipe.open(
                    name, self._on_output, self._on_pipe_closed, self._supervisor.turns
                )
                self._pipes.add(pipe)
                ends.append(sink)
        except OSError:
            for pipe in list(self._pipes):
                pipe.close()
            close_all(ends)
            raise
        return ends

    def on_started(self, pid: int) -> None:
        self.pid = pid
        if not self.started.done():
            self.started.set_result(None)

    def on_failed(self, error: str) -> None:
        if not self.started.done():
            self.started.set_exception(OSError(error))
        self.on_ended(error)

    def on_ended(self, exit_words: str) -> None:
        if self._exit:
            return
        self._exit = exit_words
        if not self.started.done():
            self.started.set_exception(OSError(exit_words))
        if self._pipes:
            asyncio.get_running_loop().call_later(_LAST_OUTPUT_S, self._end)
        else:
            self._end()

    def _on_pipe_closed(self, pipe: _OutputPipe) -> None:
        self._pipes.discard(pipe)
        if self._exit and not self._pipes:
            self._end()

    def _end(self) -> None:
        for pipe in list(self._pipes):
            with faults.contained("output"):
                pipe.finish()
        if not self.ended.done():
            self.ended.set_result(self._exit)


class _OutputPipe:
    """Cuts what a process writes into lines.

    No transport of the loop: one whose making is cancelled closes its descriptor twice, and by the second time the
    number may be a client's.
    """

    def __init__(
        self,
        source: int,
        name: str,
        on_output: OnOutput,
        on_closed: Callable[[_OutputPipe], None],
        turns: LineTurns,
    ) -> None:
        self._source = source
        #: As they came: a read of blank lines has tens of thousands, which would take long to decode at once.
        self._lines: Lines[bytes] = Lines(turns, self._take, self._read_on)
        self._pass = partial(on_output, name)
        self._on_closed = on_closed
        self._rest = b""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(source, self._read)

    @classmethod
    def open(
        cls,
        name: str,
        on_output: OnOutput,
        on_closed: Callable[[_OutputPipe], None],
        turns: LineTurns,
    ) -> tuple[_OutputPipe, int]:
        """Return a pipe and the end to write to. Raises OSError."""
        source, sink = os.pipe()
        os.set_blocking(source, False)
        return cls(source, name, on_output, on_closed, turns), sink

    @faults.contained("output")
    def _read(self) -> None:
        try:
            data = os.read(self._source, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        lines = (self._rest + data).split(b"\n")
        rest = lines.pop()
        while len(rest) > _LINE_BYTES:
            lines.append(rest[:_LINE_BYTES])
            rest = rest[_LINE_BYTES:]
        self._rest = rest
        if not self._lines.pass_on(lines):
            # Until then the process waits once the pipe is full.
            self._loop.remove_reader(self._source)

    def _take(self, line: bytes) -> None:
        self._pass(line.decode("utf-8", "replace").rstrip("\r"))

    def _read_on(self) -> None:
        if self._source >= 0:
            self._loop.add_reader(self._source, self._read)

    def finish(self) -> None:
        """Read once more, which is all that a pipe holds, and close."""
        if self._source >= 0:
            self._read()
        self.close()

    def close(self) -> None:
        """Read no more, and pass on what has come without the end of its line."""
        if self._source < 0:
            return
        self._loop.remove_reader(self._source)
        os.close(self._source)
        self._source = -1
        rest, self._rest = self._rest, b""
        if rest:
            self._lines.pass_on([rest])
        self._on_closed(self)


class Supervisor:
    """Has processes started, followed and ended. Owned by the event loop.

    It is started with the first process, and anew where it has ended; then all its processes have ended, too.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._processes: dict[int, SupervisedProcess] = {}
        #: For the output of all processes.
        self.turns = LineTurns()
        self._program: subprocess.Popen[bytes] | None = None
        self._channel: MessageChannel | None = None

    def __repr__(self) -> str:
        return f"<Supervisor of {len(self._processes)} processes>"

    @property
    def pid(self) -> int:
        return 0 if self._program is None else self._program.pid

    async def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        on_output: OnOutput,
        *,
        is_parent: bool,
        on_numbered: Callable[[SupervisedProcess], None],
        input_end: socket.socket | None = None,
    ) -> SupervisedProcess:
        """Start a process in a session of its own. Raises OSError.

        `is_parent`: it forks others that may outlive it, if they are kept. `on_numbered`: called before it runs.
        `input_end` becomes its standard input.
        """
        self._ensure_running()
        process = SupervisedProcess(self, next(self._numbers), on_output)
        descriptors = process.open_pipes()
        if input_end is not None:
            descriptors.append(os.dup(input_end.fileno()))
        self._processes[process.number] = process
        on_numbered(process)
        message = {
            "start": process.number,
            "command": list(command),
            "environment": dict(environment),
            "folder": str(folder),
            "is_parent": is_parent,
            "descriptors": len(descriptors),
        }
        self.send(message, descriptors)
        await process.started
        return process

    def add_forked(self, on_output: OnOutput) -> tuple[SupervisedProcess, list[int]]:
        """Return a process that another one is to fork, and the ends of its output. Raises OSError."""
        process = SupervisedProcess(self, next(self._numbers), on_output, is_forked=True)
        sinks = process.open_pipes()
        self._processes[process.number] = process
        return process, sinks

    def keep(self, process: SupervisedProcess, pid: int, forked_by: SupervisedProcess) -> None:
        """Take on a process that one of the others has forked. `pid`: of its keeper."""
        self.send({"keep": process.number, "pid": pid, "below": forked_by.number})

    async def close(self) -> None:
        """End all processes and the supervisor."""
        program, self._program = self._program, None
        self._disconnect("killed by SIGKILL")
        if program is None:
            return
        try:
            await asyncio.to_thread(program.wait, _END_S)
        except subprocess.TimeoutExpired:
            logger.error("Processes of workers could not be ended within %g seconds.", _END_S)
            program.kill()

    def send(self, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Descriptors are closed here once they are sent."""
        if self._channel is None:
            close_all(descriptors)
        else:
            self._channel.send(message, descriptors)

    def _ensure_running(self) -> None:
        if self._channel is not None:
            return
        own_end, its_end = socket.socketpair()
        file = Path(__file__).with_name("supervisor_process.py")
        try:
            with its_end:
                # Isolated: neither the variables nor the folder that the server was started with say what it imports.
                self._program = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(file)],
                    stdin=its_end.fileno(),
                    stdout=subprocess.DEVNULL,
                    env=needed_environment(),
                    start_new_session=True,
                )
        except OSError:
            own_end.close()
            raise
        self._channel = MessageChannel(own_end, self._take, self._on_lost)

    def _take(self, message: dict[str, Any]) -> None:
        if "started" in message:
            process = self._processes.get(message["started"])
            if process is not None:
                process.on_started(message["pid"])
            else:
                # It was given up meanwhile, as what it was forked from has ended.
                self.send({"kill": message["started"]})
        elif "failed" in message:
            process = self._processes.get(message["failed"])
            if process is not None:
                self.on_failed(process, message["error"])
        elif (process := self._processes.get(message["ended"])) is not None:
            code = message["code"]
            if code is None and process.is_forked:
                # What it was forked from is its keeper's parent, and says how it ended.
                asyncio.get_running_loop().call_later(_EXIT_CODE_S, self.on_ended, *(process, None))
            else:
                self.on_ended(process, code)

    def on_failed(self, process: SupervisedProcess, error: str) -> None:
        """A process could not be started."""
        if self._processes.pop(process.number, None) is not None:
            process.on_failed(error)

    @faults.contained("supervisor")
    def on_ended(self, process: SupervisedProcess, code: int | None) -> None:
        """A process is gone. The first word of it counts."""
        if self._processes.pop(process.number, None) is not None:
            process.on_ended(describe_exit(code))

    def _on_lost(self) -> None:
        """It has ended, which it does not by itself; somebody killed it."""
        program, self._program = self._program, None
        self._disconnect("its supervisor ended")
        if program is not None:
            program.kill()
            program.wait()
            logger.error(
                "The supervisor of workers, process %d, has ended (%s): all workers are replaced.",
                *(program.pid, describe_exit(program.returncode)),
            )

    def _disconnect(self, exit_words: str) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()
        processes, self._processes = self._processes, {}
        for process in processes.values():
            with faults.contained("supervisor"):
                process.on_ended(exit_words)
