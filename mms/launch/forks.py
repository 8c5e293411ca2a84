"""The front's end of a process that forks workers: a fork server, or a parent that has loaded a model."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mms import faults
from mms.launch.message_channel import MessageChannel
from mms.launch.supervisor import OnOutput, SupervisedProcess, Supervisor

logger = logging.getLogger("mms.launch")


class Forks:
    """Has a process fork others. `mms/worker/forking/forker.py` is its other end.

    `ended` is done once it forks no more.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        own_end, self.its_end = socket.socketpair()
        self._channel = MessageChannel(own_end, self._take, self._lose)
        self._process: SupervisedProcess | None = None
        #: By the number that the supervisor knows them by: those that have not ended.
        self._forked: dict[int, SupervisedProcess] = {}
        self._heard_at = 0.0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        #: The messages that are about no worker.
        self.on_message: Callable[[dict[str, Any]], None] = lambda message: None

    def __repr__(self) -> str:
        state = "ended" if self.ended.done() else f"{len(self._forked)} workers"
        return f"<Forks of {self._process!r}: {state}>"

    def attach(self, process: SupervisedProcess) -> None:
        """The process runs, and has the other end."""
        self.its_end.close()
        self._process = process
        process.ended.add_done_callback(lambda _: self._lose())

    def send(self, message: Mapping[str, Any]) -> None:
        self._channel.send(message)

    async def fork(
        self,
        message: Mapping[str, Any],
        on_output: OnOutput,
        on_numbered: Callable[[SupervisedProcess], None],
        *,
        timeout_s: float,
        input_end: socket.socket | None = None,
    ) -> SupervisedProcess:
        """Have a process forked in a session of its own. Raises OSError.

        What forks is killed once it has said nothing for `timeout_s`: it is stopped, or hangs, and nobody gets a fork.
        `on_numbered` and `input_end` as in `Supervisor.start`; one that has an input forks others.
        """
        began_at = time.monotonic()
        process, descriptors = self._supervisor.add_forked(on_output)
        self._forked[process.number] = process
        on_numbered(process)
        if input_end is not None:
            descriptors.append(os.dup(input_end.fileno()))
        own = {
            "fork": process.number,
            "descriptors": len(descriptors),
            "is_parent": input_end is not None,
        }
        self._channel.send({**message, **own}, descriptors)
        if self.ended.done():
            self._fail([process], "what it is forked from has ended")
        self._heard_at = max(self._heard_at, began_at)
        while not process.started.done() and not self.ended.done():
            left_s = self._heard_at + timeout_s - time.monotonic()
            if left_s > 0:
                # Others that were asked for before come first.
                await asyncio.wait((process.started,), timeout=left_s)
                continue
            logger.error("%r has said nothing for %g seconds: it is killed.", self, timeout_s)
            if self._process is not None:
                self._process.kill()
            self._lose()
        await process.started
        return process

    def close(self) -> None:
        """Fork no more; the process ends by itself."""
        self._channel.close()
        self._lose()

    def _take(self, message: dict[str, Any]) -> None:
        self._heard_at = time.monotonic()
        if "forked" in message:
            process = self._forked.get(message["forked"])
            if process is not None and self._process is not None:
                self._supervisor.keep(process, message["pid"], self._process)
        elif "failed" in message:
            process = self._forked.pop(message["failed"], None)
            if process is not None:
                self._supervisor.on_failed(process, str(message["error"]))
        elif "ended" in message:
            process = self._forked.pop(message["ended"], None)
            if process is not None:
                self._supervisor.on_ended(process, message["code"])
        else:
            self.on_message(message)

    @faults.contained("forks")
    def _lose(self) -> None:
        """It has ended. The workers stay, and are the supervisor's from now on."""
        self._channel.close()
        self.its_end.close()
        if not self.ended.done():
            self.ended.set_result(None)
        forked, self._forked = self._forked, {}
        waiting = [process for process in forked.values() if not process.started.done()]
        self._fail(waiting, "what it is forked from has ended")

    def _fail(self, processes: Sequence[SupervisedProcess], reason: str) -> None:
        for process in processes:
            self._supervisor.on_failed(process, reason)
