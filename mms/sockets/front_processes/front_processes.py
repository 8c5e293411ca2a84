"""The front processes of a server: started, watched, replaced and ended by the owner."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mms import faults
from mms.limits.connections import ConnectionLimit
from mms.observe import FrontCount
from mms.processes.exits import describe_exit
from mms.processes.interpreter import needed_environment
from mms.sockets.contexts import TlsParts
from mms.sockets.front_processes.frames import CONTROL
from mms.sockets.front_processes.front_listener import FrontListener
from mms.sockets.front_processes.owner_link import OwnerLink
from mms.sockets.listeners import BACKLOG, bind_for, or_refuse

if TYPE_CHECKING:
    from mms.settings import Address

logger = logging.getLogger("mms.http")

#: What a process may take to come up, and to end, in seconds.
_START_S = 20.0
_END_S = 1.0
#: One that ends is replaced at once, and after this time, doubled each time, where that one ends soon, too.
_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
#: How often a process is asked for a sign of life, in seconds, and how many it may leave unanswered. Counted, so that
#: an owner which was itself stopped for a while does not take its processes for dead.
_BEAT_S = 2.0
_MOST_UNANSWERED = 5
#: What does not end for so long has come up well, in seconds.
_SOON_S = 60.0


class FrontProcesses:
    """Owned by the event loop."""

    def __init__(
        self,
        count: int,
        parts_of: Callable[[ssl.SSLContext], TlsParts],
        *,
        most_connections: int,
        is_hidden: bool,
        temp_dir: str,
    ) -> None:
        """`parts_of`: what a context is made of by now. `most_connections`: of each process. `is_hidden`: nobody may
        look into them. `temp_dir`: for keys, which are files for a moment."""
        self._parts_of = parts_of
        self._most_connections = most_connections
        self._is_hidden = is_hidden
        self._temp_dir = temp_dir
        self._listeners: list[FrontListener] = []
        self._processes = [_FrontProcess(self, number) for number in range(count)]

    def __repr__(self) -> str:
        return f"<FrontProcesses {self._processes}>"

    def counts(self) -> list[FrontCount]:
        return [process.count() for process in self._processes]

    async def listen(
        self,
        address: Address,
        make_protocol: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext | None,
        limit: ConnectionLimit,
    ) -> FrontListener:
        """Listen on an address once the processes are started. `limit`: of all connections. Raises BindFailed."""
        sockets, is_shared = await bind_for(address, len(self._processes))
        listener = FrontListener(
            len(self._listeners),
            sockets,
            or_refuse(make_protocol),
            context if address.is_tls else None,
            limit,
            BACKLOG,
            is_shared=is_shared,
        )
        self._listeners.append(listener)
        return listener

    async def start(self) -> None:
        """Start all, and return once each is up, or is not to be waited for."""
        for process in self._processes:
            process.start()
        await asyncio.gather(*(process.has_started.wait() for process in self._processes))

    def renew_certificates(self) -> None:
        """Contexts have changed: new connections are to get what is in their files now."""
        certificates = self._certificates()
        for process in self._processes:
            process.tell({"certificates": certificates})

    def _certificates(self) -> list[TlsParts | None]:
        return [
            None if listener.context is None else self._parts_of(listener.context)
            for listener in self._listeners
        ]

    async def close(self) -> None:
        """End all processes, and with them what is left of their connections."""
        await asyncio.gather(*(process.close() for process in self._processes))

    # What a process asks

    @property
    def listeners(self) -> list[FrontListener]:
        return self._listeners

    def run(self, number: int, its_end: socket.socket) -> subprocess.Popen[bytes]:
        """Start a process. Raises OSError."""
        inherited = [fd for each in self._listeners for fd in each.descriptors(number)]
        # Isolated: neither the variables nor the folder that the server was started with say what it imports.
        uvloop = importlib.util.find_spec("uvloop")
        place = [str(Path(uvloop.origin).parents[1])] if uvloop and uvloop.origin else []
        return subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("process.py")), *place],
            stdin=its_end.fileno(),
            pass_fds=inherited,
            env={**needed_environment(), "TMPDIR": self._temp_dir},
            start_new_session=True,
        )

    def begin(self, number: int) -> dict[str, object]:
        """Return what a process is to do. Raises ConfigurationError and OSError for certificates."""
        certificates = self._certificates()
        return {
            "most": self._most_connections,
            "is_hidden": self._is_hidden,
            "listeners": [
                {
                    "sockets": listener.descriptors(number),
                    "certificates": parts,
                    "backlog": listener.backlog,
                    "accepts": listener.accepts,
                }
                for listener, parts in zip(self._listeners, certificates, strict=True)
            ],
        }


class _FrontProcess:
    """One of them, and those that take its place."""

    def __init__(self, owner: FrontProcesses, number: int) -> None:
        self._owner = owner
        self._number = number
        self._program: subprocess.Popen[bytes] | None = None
        self._link: OwnerLink | None = None
        self._restarts = 0
        self._running: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        #: Set once it is up, or has failed to come up.
        self.has_started = asyncio.Event()

    def __repr__(self) -> str:
        return f"<front process {self._number + 1}, {self._link!r}>"

    def count(self) -> FrontCount:
        return FrontCount(
            self._number + 1,
            self._program.pid if self._program is not None else 0,
            len(self._link.connections) if self._link is not None else 0,
            self._restarts,
        )

    def start(self) -> None:
        self._running = asyncio.get_running_loop().create_task(self._run())

    def tell(self, message: dict[str, object]) -> None:
        if self._link is not None:
            self._link.tell(CONTROL, 0, message)

    async def close(self) -> None:
        self._closing.set()
        if self._link is not None:
            self._link.abort()
        if self._running is not None:
            await self._running

    async def _run(self) -> None:
        pause_s = 0.0
        while not self._closing.is_set():
            started = time.monotonic()
            problem = await self._live()
            if self._closing.is_set():
                return
            self._restarts += 1
            if time.monotonic() - started > _SOON_S:
                pause_s = 0.0
            again = f"in {pause_s:g} seconds" if pause_s else "now"
            logger.error(
                "Front process %d %s. The server takes its connections itself; another one is started %s.",
                *(self._number + 1, problem, again),
            )
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._closing.wait(), pause_s)
            pause_s = min(max(pause_s * 2, _PAUSE_S), _LONGEST_PAUSE_S)

    async def _live(self) -> str:
        """Start a process and wait for its end. Returns what became of it."""
        try:
            link = await self._open()
        except Exception as error:
            if not isinstance(error, OSError):
                faults.note("front process", error)
            self._stand_in()
            return f"cannot be started ({error})"
        if self._closing.is_set():
            link.abort()
        await asyncio.wait(
            (link.is_up, link.ended), timeout=_START_S, return_when=asyncio.FIRST_COMPLETED
        )
        lost = 0
        is_silent = False
        if link.is_up.done():
            for listener in self._owner.listeners:
                listener.leave_to(self._number, link)
            self.has_started.set()
            is_silent = not await self._until_end(link)
            lost = link.lost
        else:
            link.abort()
        self._link = None
        self._stand_in()
        how = await self._end_program()
        if not link.is_up.done():
            return f"has not come up ({how})"
        if is_silent:
            how = f"no sign of life for {_BEAT_S * _MOST_UNANSWERED:g} seconds, {how}"
        return f"has ended ({how}), and with it {lost} connections"

    async def _until_end(self, link: OwnerLink) -> bool:
        """Return once it has ended; whether by itself. One that hangs is ended: the system leads clients to it."""
        while not link.ended.done():
            if link.unanswered_beats >= _MOST_UNANSWERED:
                if self._program is not None:
                    self._program.kill()
                await link.ended
                return self._closing.is_set()
            link.beat()
            await asyncio.wait((link.ended,), timeout=_BEAT_S)
        return True

    async def _open(self) -> OwnerLink:
        """Start a process and tell it what to do. Raises OSError and ConfigurationError."""
        own_end, its_end = socket.socketpair()
        try:
            with its_end:
                begin = self._owner.begin(self._number)
                self._program = self._owner.run(self._number, its_end)
            own_end.setblocking(False)
            link = OwnerLink(self._owner.listeners)
            await asyncio.get_running_loop().connect_accepted_socket(lambda: link, own_end)
        except BaseException:
            own_end.close()
            await self._end_program()
            raise
        self._link = link
        link.tell(CONTROL, 0, {"begin": begin})
        return link

    def _stand_in(self) -> None:
        if not self._closing.is_set():
            for listener in self._owner.listeners:
                listener.stand_in(self._number)
        self.has_started.set()

    async def _end_program(self) -> str:
        """Wait for its end, which there is no way around. Returns it in words."""
        program, self._program = self._program, None
        if program is None:
            return "not started"
        try:
            code = await asyncio.to_thread(program.wait, _END_S)
        except subprocess.TimeoutExpired:
            program.kill()
            code = await asyncio.to_thread(program.wait)
        return describe_exit(code)
