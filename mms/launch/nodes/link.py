"""The front's end of a worker on another node."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from mms.launch.connection import WORKER_ROLES, Link
from mms.launch.interface import LinkListener
from mms.launch.line_turns import LineTurns
from mms.launch.nodes.relocation import relocated_load
from mms.observe.metrics.lines import one_line
from mms.processes.activity import Sight
from mms.wire import Load, ProtocolError
from mms.wire.frames import EXITED, HOSTED, OUTPUT, USAGE
from mms.wire.hosts import Exited, Hosted, Usage, decode_output
from mms.wire.messages import MAX_MESSAGE_BYTES, ROLE_HOST

#: Of the name of a node, which describe and log show.
_MOST_NAME_CHARS = 100


class HostedLink(Link):
    """A worker that a host runs: one connection more, by which the host says what a local kernel would.

    The end of that connection ends the worker, whichever side ends it.
    """

    def __init__(
        self, name: str, load: Load, listener: LinkListener, max_frame_bytes: int, turns: LineTurns
    ) -> None:
        super().__init__(
            name, load, listener, max_frame_bytes, (*WORKER_ROLES, ROLE_HOST), turns=turns
        )
        loop = asyncio.get_running_loop()
        #: Done when the host has dialled in, and when it has what the worker needs.
        self.placed: asyncio.Future[None] = loop.create_future()
        self.hosted: asyncio.Future[Hosted] = loop.create_future()
        #: What the start waits for, in words.
        self.waiting_reason = ""
        self._host: asyncio.Transport | None = None
        self._usage: Usage | None = None

    def on_waiting(self, reason: str) -> None:
        """Learn what the start waits for."""
        self.waiting_reason = reason
        self.listener.on_waiting(reason)

    def on_connected(self, role: str, pid: int | None, transport: asyncio.Transport) -> bool:
        if role != ROLE_HOST:
            return super().on_connected(role, pid, transport)
        if role not in self._open_roles or self.closed.done():
            return False
        self._open_roles.remove(role)
        self._host = transport
        if not self.placed.done():
            self.placed.set_result(None)
        return True

    def on_disconnected(self, role: str, reason: str) -> None:
        if role != ROLE_HOST:
            super().on_disconnected(role, reason)
            return
        self._host = None
        if not self.closed.done():
            where = f"node {self.node}" if self.node else "its node"
            self.kill(self._exited.result() if self._exited.done() else f"{where} is gone")

    def look(self, beat: int) -> Sight | None:
        """Return what it has done so far, by its node's word where this machine cannot see it."""
        usage = self._usage
        if self.pid or usage is None:
            return super().look(beat)
        return Sight(beat, usage.cpu_s, usage.major_faults, usage.is_at_work)

    def kill(self, reason: str) -> None:
        super().kill(reason)
        host, self._host = self._host, None
        if host is not None:
            # Its end has the host end the worker.
            host.abort()

    def close(self, reason: str) -> None:
        super().close(reason)
        for future in (self.placed, self.hosted):
            if not future.done():
                future.cancel()

    def _take_frame(self, kind: int, sequence: int, payload: bytes | bytearray) -> None:
        if kind not in (OUTPUT, HOSTED, USAGE, EXITED):
            super()._take_frame(kind, sequence, payload)
            return
        if len(payload) > MAX_MESSAGE_BYTES:
            raise ProtocolError(f"a message of {len(payload)} bytes of a worker's host")
        if kind == OUTPUT:
            stream, lines = decode_output(sequence, payload)
            for line in lines:
                self.listener.on_output(stream, line)
        elif kind == USAGE:
            usage = self._usage = Usage.from_payload(payload)
            if not self.pid:
                self.memory_bytes = max(usage.memory_bytes, 0)
        elif kind == EXITED:
            self.on_exit(one_line(Exited.from_payload(payload).reason))
        elif not self.hosted.done():
            hosted = Hosted.from_payload(payload)
            hosted.node = one_line(hosted.node)[:_MOST_NAME_CHARS]
            self.node = hosted.node
            load = relocated_load(self._load, hosted.folders)
            self._load = replace(load, gpu_id=hosted.gpu_id)
            self.hosted.set_result(hosted)

    def _read_connections(self) -> list[asyncio.Transport]:
        host = self._host
        of_host = [] if host is None or host.is_closing() else [host]
        return [*super()._read_connections(), *of_host]
