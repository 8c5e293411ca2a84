"""What stands before aiohttp's protocol, and limits the time and the memory that a connection takes.

aiohttp has no limit for the time of a head, for the size of all headers together, and for how slowly a client takes its
answers; and it gives up a request when its client closes its sending side alone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from typing import cast

from aiohttp import StreamReader, web

from mms import faults
from mms.core import new_request_id
from mms.errors import ServerError
from mms.http.answers import Answers
from mms.http.request_head import MAX_HEAD_BYTES, too_long
from mms.limits.connection_sweep import ConnectionSweep
from mms.limits.connections import MAX_PROBES, PROBE_S, remote_name
from mms.limits.memory import MemoryLimit, Pace, WaitingAccount

logger = logging.getLogger("mms.http")

#: Turns of the loop in which aiohttp hands a head that has come whole to its route, with some to spare.
_TURNS = 8
#: How often a connection is looked at whose client has stopped sending, in seconds.
_LOOK_S = PROBE_S / 4
#: Looks at which nothing is under way until such a connection is closed.
_MOST_QUIET_LOOKS = 3
#: Answers from here on are counted for what a connection holds.
_LARGE_BYTES = 64 * 1024


class Connection(asyncio.Protocol):
    """A connection that aiohttp's own protocol serves. Owned by the event loop."""

    __slots__ = (
        "_content",
        "_head_bytes",
        "_inner",
        "_is_in_line",
        "_is_judging",
        "_owner",
        "_pace",
        "_probe",
        "_request",
        "_seen_bytes",
        "_transport",
        "_unsent_bytes",
        "account",
        "head_since",
        "is_answering",
        "is_half_closed",
        "quiet_since",
    )

    def __init__(self, inner: asyncio.Protocol, owner: Connections) -> None:
        """`inner`: aiohttp's."""
        self._inner = inner
        self._owner = owner
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._request: web.BaseRequest | None = None
        #: The body of the last one; aiohttp skips what of it no route has read.
        self._content: StreamReader | None = None
        #: When the first byte came that no request has taken yet; of `time.monotonic()`, 0 for none.
        self.head_since = 0.0
        self._head_bytes = 0
        #: Of the head that is coming, not all of the request line is there.
        self._is_in_line = False
        self._is_judging = False
        #: When the last answer was made, or the connection; of `time.monotonic()`.
        self.quiet_since = time.monotonic()
        #: The head of an answer has been written, and not all of its body.
        self.is_answering = False
        #: Sends something that says nothing between the parts of the answer.
        self._probe: Callable[[], None] | None = None
        self.is_half_closed = False
        self.account = WaitingAccount(owner.memory)
        #: How fast the client takes its answers, and what was to be sent at the last look.
        self._pace = Pace()
        self._unsent_bytes = 0
        #: Of the body that the client has stopped sending, at the last look.
        self._seen_bytes = -1

    def __repr__(self) -> str:
        return f"<Connection of aiohttp's{', busy' if self.is_busy else ''}>"

    @property
    def is_busy(self) -> bool:
        """A request is under way."""
        return self._request is not None

    # The transport's calls

    @faults.ends_connection
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._owner.add(self, self._transport)
        self._inner.connection_made(transport)

    @faults.ends_connection
    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.discard(self._transport)
        self.account.close()
        self._request = self._probe = None
        self._inner.connection_lost(exc)

    @faults.ends_connection
    def data_received(self, data: bytes) -> None:
        if self._request is None and (self._content is None or self._content.is_eof()):
            self._content = None
            if not self.head_since:
                self.head_since = time.monotonic()
                self._is_in_line = True
            self._is_in_line = self._is_in_line and b"\n" not in data
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self._is_judging:
                self._is_judging = True
                self._judge_head(_TURNS)
        self._inner.data_received(data)

    @faults.ends_connection
    def eof_received(self) -> bool:
        """A client may have closed its sending side alone and still wait for its answers.

        Not over TLS, where the end of one side is that of both.
        """
        self.is_half_closed = True
        if self._transport.get_extra_info("sslcontext") is not None:
            return False
        if self._request is None and not self.head_since:
            quiet_s = time.monotonic() - self.quiet_since
            if quiet_s > _LOOK_S and not self._transport.get_write_buffer_size():
                return False
        self._look_at_half_closed(1, 0)
        return True

    @faults.ends_connection
    def pause_writing(self) -> None:
        self._inner.pause_writing()

    @faults.ends_connection
    def resume_writing(self) -> None:
        self._inner.resume_writing()

    # Requests

    def begin(self, request: web.BaseRequest) -> None:
        """A request goes to its route."""
        self._request = request
        self._content = request.content
        self.head_since = 0.0
        self._head_bytes = 0
        self._seen_bytes = -1

    def begin_answer(self, probe: Callable[[], None] | None) -> None:
        """The head of the answer is written; its body comes in parts.

        `probe`: sends something that says nothing, for a client that may be gone; None: nothing can.
        """
        self.is_answering = True
        self._probe = probe

    def finish(self, answer_bytes: int) -> None:
        """The answer of the request is made."""
        self._request = self._probe = None
        self.is_answering = False
        self.quiet_since = time.monotonic()
        # Until the next look at what of it is not taken yet.
        self.account.note(answer_bytes if answer_bytes >= _LARGE_BYTES else 0)

    # Limits

    @faults.ends_connection
    def _judge_head(self, turns: int) -> None:
        """End the connection if what it has sent turns out to be no head, but more than there may be of one."""
        if self._request is not None or self._transport.is_closing():
            self._is_judging = False
        elif turns:
            asyncio.get_running_loop().call_soon(self._judge_head, turns - 1)
        elif self._head_bytes > MAX_HEAD_BYTES:
            self._owner.refuse(self._transport, too_long(in_line=self._is_in_line))

    @faults.ends_connection
    def _look_at_half_closed(self, looks: int, quiet_looks: int) -> None:
        """Close once nothing is under way. Find out, little by little, whether the client waits for its answer.

        With interim responses, which every client of HTTP/1.1 has to take, or between the parts of its answer.
        """
        transport = self._transport
        request = self._request
        if transport.is_closing():
            return
        if request is None:
            # Between two requests that have come together there is none under way, either.
            is_quiet = time.monotonic() - self.quiet_since >= _LOOK_S
            if is_quiet and not transport.get_write_buffer_size():
                quiet_looks += 1
            if quiet_looks >= _MOST_QUIET_LOOKS:
                transport.close()
                return
        else:
            quiet_looks = 0
            if not request.content.is_eof():
                if request.content.total_bytes == self._seen_bytes:
                    # Nothing more can come of its body.
                    transport.close()
                    return
                self._seen_bytes = request.content.total_bytes
            is_due = (
                looks % round(PROBE_S / _LOOK_S) == 0 and looks * _LOOK_S <= MAX_PROBES * PROBE_S
            )
            if is_due and self._probe is not None:
                self._probe()
            elif is_due and not self.is_answering and request.version >= (1, 1):
                transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        asyncio.get_running_loop().call_later(
            _LOOK_S, self._look_at_half_closed, looks + 1, quiet_looks
        )

    def check_time(self, now: float) -> None:
        """End a connection whose client takes its answer too slowly, or sends a head too slowly."""
        transport = self._transport
        unsent_bytes = transport.get_write_buffer_size()
        if not self.is_busy and self.account.held_bytes:
            self.account.note(unsent_bytes)
        if not unsent_bytes or unsent_bytes > self._unsent_bytes:
            # There is nothing, or a new answer: aiohttp writes none before most of the last one is taken.
            self._pace.rest()
        self._unsent_bytes = unsent_bytes
        spare_s = self._owner.reader_timeout_s
        if unsent_bytes and self._pace.is_too_slow(now, -unsent_bytes, spare_s):
            transport.abort()
        elif 0.0 < self.head_since < now - self._owner.head_timeout_s and not self.is_busy:
            transport.close()

    @faults.ends_connection
    def leave(self, quiet_since: float) -> None:
        """The server stops: close where no request is under way, and nothing came since then."""
        is_idle = not self.is_busy and not self.head_since
        if is_idle and self.quiet_since <= quiet_since:
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()


class Connections:
    """All connections of a listener that aiohttp serves. Times in seconds."""

    def __init__(
        self,
        memory: MemoryLimit,
        answers: Answers,
        *,
        head_timeout_s: float,
        reader_timeout_s: float,
    ) -> None:
        self.memory = memory
        self._answers = answers
        self.head_timeout_s = head_timeout_s
        self.reader_timeout_s = reader_timeout_s
        #: The server stops: answers end their connections.
        self.is_leaving = False
        self._by_transport: dict[asyncio.BaseTransport, Connection] = {}
        self._sweep = ConnectionSweep(self._by_transport.values())

    def __repr__(self) -> str:
        return f"<Connections {len(self)}>"

    def __len__(self) -> int:
        return len(self._by_transport)

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._by_transport.values())

    def of(self, request: web.BaseRequest) -> Connection | None:
        """Return the one that a request came in on; None where it has ended."""
        transport = request.transport
        return None if transport is None else self._by_transport.get(transport)

    def add(self, connection: Connection, transport: asyncio.BaseTransport) -> None:
        """Watch over a connection."""
        self._by_transport[transport] = connection
        self._sweep.start()

    def discard(self, transport: asyncio.BaseTransport) -> None:
        self._by_transport.pop(transport, None)

    def refuse(self, transport: asyncio.Transport, error: ServerError) -> None:
        """Answer what is no request yet, and end its connection."""
        logger.warning("Refused a request of %s: %s", remote_name(transport), error)
        head, body = self._answers.error(new_request_id(), error, is_kept_alive=False)
        transport.write(head + body)
        transport.close()

    def leave(self, quiet_since: float) -> None:
        """The server stops: answers end their connections from now on. Those that were quiet since then end at once."""
        self.is_leaving = True
        for connection in list(self):
            connection.leave(quiet_since)

    def close(self) -> None:
        """Look at none of them any more."""
        self._sweep.stop()
