"""A client's connection as the protocols of the owner see it, though a front process holds it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, cast

from mms import faults
from mms.sockets.front_processes.frames import (
    ABORT,
    BULK_CREDIT_BYTES,
    CLOSE,
    CREDIT,
    CREDIT_BYTES,
    END,
    GONE,
    RESET,
)
from mms.sockets.front_processes.link import Link

#: What may wait in the owner until the protocol is asked to write no more, and until it may again; uvloop's limits.
_HIGH_BYTES = 64 * 1024
_LOW_BYTES = 16 * 1024


class FrontTransport(asyncio.Transport):
    """Owned by the event loop. Does for a protocol what a transport of the loop does.

    What the front process has for the client counts as sent, as what the system's own buffers hold does.
    """

    def __init__(self, link: Link, number: int, facts: Mapping[str, Any]) -> None:
        """`facts`: what `get_extra_info` knows."""
        super().__init__()
        self._link = link
        self._number = number
        self._facts = facts
        self._loop = asyncio.get_running_loop()
        self._protocol: asyncio.BaseProtocol = asyncio.BaseProtocol()
        #: The protocol's `data_received`.
        self._receive: Callable[[bytes], None] = self._fill
        # Reading
        self._is_paused = False
        #: What has come while nothing may be read.
        self._held: deque[bytes] = deque()
        self._is_going_on = False
        #: The client has closed its sending side, and the protocol has not been told.
        self._has_end = False
        #: What the front process may still send, and where it gets more.
        self._granted = CREDIT_BYTES
        self._window = CREDIT_BYTES
        self._low = CREDIT_BYTES // 2
        # Writing
        self._credit = CREDIT_BYTES
        self._pending: deque[memoryview] = deque()
        self._pending_bytes = 0
        self._high_bytes = _HIGH_BYTES
        self._low_bytes = _LOW_BYTES
        self._is_write_paused = False
        self._ends_writing = False
        # Its end
        self._is_closing = False
        self._is_lost = False

    def __repr__(self) -> str:
        return f"<FrontTransport {self._number}{', closing' if self._is_closing else ''}>"

    # What protocols ask

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._facts.get(name, default)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol
        if isinstance(protocol, asyncio.BufferedProtocol):
            self._receive = self._fill
            # Granted once something has been read of it: there may be no memory for it yet.
            self._window = BULK_CREDIT_BYTES
        else:
            self._receive = cast(asyncio.Protocol, protocol).data_received
            self._window = CREDIT_BYTES
        self._low = self._window // 2

    def is_closing(self) -> bool:
        return self._is_closing

    def is_reading(self) -> bool:
        return not self._is_paused and not self._is_closing

    def can_write_eof(self) -> bool:
        return "sslcontext" not in self._facts

    def get_write_buffer_size(self) -> int:
        if self._is_closing and not self._is_lost:
            # Nothing is left to be sent once the front process has sent it.
            return self._pending_bytes + CREDIT_BYTES - self._credit
        return self._pending_bytes

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low_bytes, self._high_bytes

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is None:
            high = _HIGH_BYTES if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError("limits are to be high >= low >= 0")
        self._high_bytes, self._low_bytes = high, low
        self._pause_or_resume_writing()

    # Reading

    def begin(self, protocol: asyncio.BaseProtocol) -> None:
        """Give it its protocol."""
        self.set_protocol(protocol)
        try:
            protocol.connection_made(self)
        except Exception as error:
            self._fail(error, "connection_made")

    def feed(self, data: bytes) -> None:
        self._granted -= len(data)
        if self._is_paused or self._held:
            self._held.append(data)
            return
        if self._is_closing:
            return
        try:
            self._receive(data)
        except Exception as error:
            self._fail(error, "data_received")
        if self._granted <= self._low and not self._is_paused:
            self._grant()

    def _fill(self, data: bytes) -> None:
        """Put it where a protocol that has room of its own wants it."""
        view = memoryview(data)
        while view:
            protocol = self._protocol
            if not isinstance(protocol, asyncio.BufferedProtocol):
                self._receive(bytes(view))
                return
            if self._is_paused:
                self._held.appendleft(bytes(view))
                return
            if self._is_closing:
                return
            room = cast(memoryview, protocol.get_buffer(len(view)))
            size = min(len(room), len(view))
            if not size:
                raise RuntimeError("get_buffer() returned an empty buffer")
            room[:size] = view[:size]
            # A body that grows may have no views.
            room.release()
            protocol.buffer_updated(size)
            view = view[size:]

    def _grant(self) -> None:
        more = self._window - self._granted
        if more > 0 and not self._has_end and not self._is_lost:
            self._granted += more
            self._link.signal(CREDIT, self._number, more)

    def pause_reading(self) -> None:
        self._is_paused = True

    def resume_reading(self) -> None:
        if not self._is_paused:
            return
        self._is_paused = False
        if self._held or self._has_end:
            self._go_on_soon()
        elif self._granted <= self._low:
            self._grant()

    def _go_on_soon(self) -> None:
        """Whoever resumes is in the midst of something."""
        if not self._is_going_on:
            self._is_going_on = True
            self._loop.call_soon(self._go_on)

    @faults.ends_connection
    def _go_on(self) -> None:
        """Pass on what was held."""
        self._is_going_on = False
        while self._held and not self._is_paused and not self._is_closing:
            try:
                self._receive(self._held.popleft())
            except Exception as error:
                self._fail(error, "data_received")
        if self._is_closing:
            self._held.clear()
        elif not self._held and not self._is_paused:
            if self._has_end:
                self._pass_end()
            elif self._granted <= self._low:
                self._grant()

    def _pass_end(self) -> None:
        self._has_end = False
        try:
            stays = cast(asyncio.Protocol, self._protocol).eof_received()
        except Exception as error:
            self._fail(error, "eof_received")
            return
        if not stays:
            self.close()

    def on_signal(self, kind: int) -> None:
        if kind == GONE:
            self._link.connections.pop(self._number, None)
            self.lose(None)
        elif kind == END and not self._is_closing:
            self._has_end = True
            if not self._held and not self._is_paused:
                self._pass_end()

    # Writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        size = len(data)
        if size > self._credit or self._pending or self._is_closing or self._ends_writing:
            self._write_later(data)
        elif size:
            self._credit -= size
            self._link.put(self._number, data)

    def _write_later(self, data: bytes | bytearray | memoryview) -> None:
        if self._is_closing or self._ends_writing or not data:
            return
        self._pending.append(memoryview(data))
        self._pending_bytes += len(data)
        self._send_pending()
        self._pause_or_resume_writing()

    def writelines(self, list_of_data: Any) -> None:
        for data in list_of_data:
            self.write(data)

    def _send_pending(self) -> None:
        """Send as much as there is credit for."""
        pending = self._pending
        while pending and self._credit > 0:
            data = pending.popleft()
            if len(data) > self._credit:
                pending.appendleft(data[self._credit :])
                data = data[: self._credit]
            self._credit -= len(data)
            self._pending_bytes -= len(data)
            self._link.put(self._number, data)
        if not pending:
            if self._is_closing:
                self._link.signal(CLOSE, self._number)
            elif self._ends_writing:
                self._link.signal(END, self._number)

    def _pause_or_resume_writing(self) -> None:
        if self._is_closing:
            return
        if self._pending_bytes > self._high_bytes and not self._is_write_paused:
            self._is_write_paused = True
            self._call("pause_writing")
        elif self._pending_bytes <= self._low_bytes and self._is_write_paused:
            self._is_write_paused = False
            self._call("resume_writing")

    def _call(self, name: str) -> None:
        try:
            getattr(self._protocol, name)()
        except Exception as error:
            self._fail(error, name)

    def add_credit(self, size: int) -> None:
        self._credit += size
        if self._pending:
            self._send_pending()
            self._pause_or_resume_writing()

    def write_eof(self) -> None:
        if self._is_closing or self._ends_writing:
            return
        self._ends_writing = True
        if not self._pending:
            self._link.signal(END, self._number)

    # Its end

    def close(self) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        self._held.clear()
        if not self._pending:
            self._link.signal(CLOSE, self._number)

    def abort(self) -> None:
        self._end_now(ABORT)

    def reset(self) -> None:
        """End it with a reset where it is TCP's."""
        self._end_now(RESET)

    def _end_now(self, kind: int) -> None:
        if self._is_lost or self._link.connections.pop(self._number, None) is None:
            return
        self._is_closing = True
        self._link.signal(kind, self._number)
        self._loop.call_soon(self.lose, None)

    @faults.ends_connection
    def lose(self, error: Exception | None) -> None:
        """The connection is no more."""
        if self._is_lost:
            return
        self._is_lost = self._is_closing = True
        self._held.clear()
        self._pending.clear()
        self._pending_bytes = 0
        try:
            self._protocol.connection_lost(error)
        except Exception as problem:
            self._report(problem, "connection_lost")
        # What protocols keep is not to be kept by this.
        self._receive = self._fill
        self._protocol = asyncio.BaseProtocol()

    def _fail(self, error: Exception, name: str) -> None:
        """An exception of the protocol's ends its connection, as in the loop's own transports."""
        self._report(error, name)
        self.abort()

    def _report(self, error: Exception, name: str) -> None:
        self._loop.call_exception_handler(
            {
                "message": f"Fatal error: protocol.{name}() call failed.",
                "exception": error,
                "transport": self,
                "protocol": self._protocol,
            }
        )
