"""The process that holds clients' connections. Run as a file, isolated from the environment.

Standard input is its socket to the owner; its end is the end of the process. The first message of the owner says what
to listen on (`begin`). Signals to stop are nothing to it: service managers send them to all processes of a server, and
the owner has answers to give before it ends.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import ssl
import sys
import time
from functools import partial
from typing import Any, cast

# This file is run by its path: the folders of the server and of uvloop come last, behind the library.
sys.path += [os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 3))]
sys.path += sys.argv[1:]

from mms import faults
from mms.limits.connections import ConnectionLimit, Refusal, catch_up
from mms.machine.descriptors import connections_for, raise_descriptor_limit
from mms.processes import prctl
from mms.sockets.contexts import TlsParts, context_of, replace_context
from mms.sockets.front_processes.client import ClientConnection, ClientLink
from mms.sockets.front_processes.frames import CONTROL
from mms.sockets.socket_server import SocketServer

#: How often the owner is told what slow clients have taken, in seconds.
_TELL_S = 0.5
#: Lines for the log in a second; more are not passed on.
_MOST_LINES = 20
_LINE_CHARS = 8192


class OwnersLog(logging.Handler):
    """Has the owner write the log."""

    def __init__(self, link: ClientLink) -> None:
        super().__init__(logging.INFO)
        self._link = link
        self._second = 0
        self._lines = 0

    def emit(self, record: logging.LogRecord) -> None:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines <= _MOST_LINES:
            line = {"name": record.name, "level": record.levelno}
            text = self.format(record)[:_LINE_CHARS]
            self._link.tell(CONTROL, 0, {"log": {**line, "text": text}})


class FrontProcess(ClientLink):
    """Listens as the owner says, and carries connections to it."""

    def __init__(self) -> None:
        super().__init__()
        self._servers: list[SocketServer] = []
        self._contexts: list[ssl.SSLContext | None] = []
        self._limit = ConnectionLimit(0)
        self._limit.add(lambda: len(self.connections))
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_lost(self, exc: Exception | None) -> None:
        # The owner is gone. The system closes what is open.
        os._exit(0)

    def on_control(self, message: dict[str, Any]) -> None:
        for name, value in message.items():
            if name == "begin":
                self._begin(**value)
            elif name == "beat":
                self.tell(CONTROL, 0, {"beat": True})
            elif name == "certificates":
                self._replace(value)
            elif name == "take_backlog":
                task = asyncio.get_running_loop().create_task(self._take_backlog(value))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            elif name == "close":
                self._servers[value].close()

    def _begin(self, *, listeners: list[dict[str, Any]], most: int, is_hidden: bool) -> None:
        self._limit.most = min(most, connections_for(raise_descriptor_limit()))
        for number, listener in enumerate(listeners):
            parts = listener["certificates"]
            self._contexts.append(None if parts is None else context_of(TlsParts(*parts)))
            self._servers.append(
                SocketServer(
                    [socket.socket(fileno=fd) for fd in listener["sockets"]],
                    partial(self._make_protocol, number),
                    self._contexts[-1],
                    self._limit,
                    listener["backlog"],
                    accepts=listener["accepts"],
                )
            )
        if is_hidden:
            # As the owner is: it has keys, too.
            prctl.set_option(prctl.DUMPABLE, 0)
        gc.freeze()
        self.tell(CONTROL, 0, {"up": True})
        asyncio.get_running_loop().call_later(_TELL_S, self._tell_taken)

    def _make_protocol(self, listener: int) -> asyncio.Protocol:
        if self._limit.is_full():
            return Refusal()
        # The loop asks for a protocol of either kind.
        return cast(asyncio.Protocol, ClientConnection(self, listener))

    def _replace(self, certificates: list[list[Any] | None]) -> None:
        for context, parts in zip(self._contexts, certificates, strict=True):
            if context is not None and parts is not None:
                replace_context(context, context_of(TlsParts(*parts)))

    async def _take_backlog(self, listener: int) -> None:
        await self._servers[listener].take_backlog()
        await catch_up()
        self.tell(CONTROL, 0, {"taken": listener})

    def _tell_taken(self) -> None:
        for connection in list(self.slow):
            with faults.contained("connection"):
                connection.tell_taken()
        asyncio.get_running_loop().call_later(_TELL_S, self._tell_taken)


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(faults.on_loop_exception)
    front = FrontProcess()
    logging.basicConfig(level=logging.INFO, handlers=[OwnersLog(front)])
    await loop.connect_accepted_socket(lambda: front, socket.socket(fileno=0))
    await asyncio.Event().wait()


def main() -> None:
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    try:
        import uvloop
    except ImportError:
        asyncio.run(_serve())
    else:
        uvloop.run(_serve())


if __name__ == "__main__":
    main()
