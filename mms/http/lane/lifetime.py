"""A connection of the lane from its begin to its end: what it holds, and how long its client may take."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import cast

from mms import faults
from mms.errors import RequestTimeout, ServerError
from mms.http.lane.account import LaneAccount
from mms.http.lane.body import BodyReader
from mms.http.lane.front import LaneFront
from mms.http.lane.head import LaneHead
from mms.http.lane.request import LaneRequest
from mms.http.request_head import LATE_BODY
from mms.http.streams.lane import LaneStream
from mms.limits.connections import MAX_PROBES, PROBE_S, remote_name
from mms.limits.memory import NoMemory
from mms.sockets.reset import reset


class LaneLifetime(asyncio.Protocol):
    """Owned by the event loop; `_pipeline` holds its requests without a sent answer, in order."""

    __slots__ = (
        "_account",
        "_body",
        "_body_request",
        "_buffered",
        "_head",
        "_is_closing",
        "_is_read_paused",
        "_is_write_paused",
        "_lane",
        "_pipeline",
        "_reader",
        "_remote",
        "_transport",
        "_written_bytes",
        "body_filled",
        "is_half_closed",
        "waiting_since",
    )

    def __init__(self, lane: LaneFront, account: LaneAccount) -> None:
        self._lane = lane
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._remote = ""
        self._buffered = b""
        #: Of the last request: the next one's is the same, mostly.
        self._head: LaneHead | None = None
        self._body: bytearray | None = None
        #: Bytes of the body that have come.
        self.body_filled = 0
        self._body_request: LaneRequest | None = None
        #: While it is read straight to its place.
        self._reader: BodyReader | None = None
        self._pipeline: deque[LaneRequest] = deque()
        self._is_closing = False
        self._is_read_paused = False
        self._is_write_paused = False
        self._account = account
        self._written_bytes = 0
        self.is_half_closed = False
        #: Since when the connection waits for bytes of its client; of `time.monotonic()`.
        self.waiting_since = time.monotonic()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._remote}, owes {len(self._pipeline)} answers>"

    # The transport's calls

    @faults.ends_connection
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._remote = remote_name(transport)
        self._lane.add(self)

    @faults.ends_connection
    def eof_received(self) -> bool:
        """A client may have closed its sending side alone and still wait for what it asked for.

        Not over TLS, where the end of one side is that of both.
        """
        self.is_half_closed = True
        if self._body is not None:
            # What comes of a request that breaks off is dropped; those before it were accepted.
            self._body_request = None
            self._drop_body()
            self._pipeline.pop()
            self._note_held()
        if not self._pipeline:
            return False
        if self._transport.get_extra_info("sslcontext") is not None:
            return False
        self._probe(0)
        return True

    @faults.ends_connection
    def connection_lost(self, exc: Exception | None) -> None:
        self._lane.forget(self)
        self._is_closing = True
        self._body = None
        self._close_reader()
        self._buffered = b""
        self._account.close()
        self._cancel_all()

    # What it holds in memory

    def _note_held(self) -> None:
        if not self._is_closing or self._account.held_bytes:
            body_bytes = 0
            if self._reader is not None:
                body_bytes = self._reader.room_bytes
            elif self._body is not None:
                body_bytes = len(self._body)
            self._account.count(self._transport, body_bytes, self._pipeline)

    def _drop_body(self) -> None:
        """No more of it is kept."""
        self._body = None
        self._account.stop_waiting()
        if self._reader is not None:
            self._close_reader()
            self._transport.set_protocol(self)

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _pause_reading(self) -> None:
        if not self._is_read_paused and not self._is_closing:
            self._is_read_paused = True
            self._transport.pause_reading()

    @property
    def _first_stream(self) -> LaneStream | None:
        """The stream whose parts are being sent."""
        reply = self._pipeline[0].reply if self._pipeline else None
        return reply if isinstance(reply, LaneStream) else None

    # Its end

    def _end(self) -> None:
        """Close after what was written. What the client still sends is read and thrown away, for a while."""
        self._is_closing = True
        self._cancel_all()
        self._buffered = b""
        self._drop_body()
        transport = self._transport
        if self.is_half_closed or not transport.can_write_eof():
            transport.close()
            return
        if self._is_read_paused:
            transport.resume_reading()
        transport.write_eof()
        self._lane.linger(self)

    def _cancel_all(self) -> None:
        """Nobody waits for what is still owed."""
        pipeline = self._pipeline
        while pipeline:
            self._lane.host.cancel(pipeline.popleft())

    @faults.ends_connection
    def _probe(self, probes: int) -> None:
        """Find out, little by little, whether a client that has closed its sending side waits for its answer.

        With interim responses, which every client of HTTP/1.1 has to take, or between the parts of its answer.
        """
        if self._is_closing or not self._pipeline:
            return
        stream = self._first_stream
        if probes and stream is not None:
            stream.probe()
        elif probes and self._pipeline[0].lane_head.protocol == "HTTP/1.1":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if probes < MAX_PROBES:
            asyncio.get_running_loop().call_later(PROBE_S, self._probe, probes + 1)

    # Called by the front

    def statistics(self) -> dict[str, int]:
        """Return what the connection holds."""
        return {
            "owed_answers": len(self._pipeline),
            "buffered_bytes": len(self._buffered),
            "body_bytes": self.body_filled if self._body is not None else 0,
        }

    @property
    def is_idle(self) -> bool:
        """The client may send a request, and has not begun to."""
        return not self._pipeline and self._body is None and not self._buffered

    def check_time(self, now: float) -> None:
        """Close or refuse a connection whose client has kept it waiting for too long."""
        unsent_bytes = self._transport.get_write_buffer_size()
        if self._account.held_bytes:
            self._note_held()
        spare_s = self._lane.keep_alive_timeout_s
        if self._account.is_client_too_slow(now, self._written_bytes, unsent_bytes, spare_s):
            self.abort()
            return
        if self._is_closing:
            return
        waited_s = now - self.waiting_since
        if self._body_request is not None:
            self._check_body(self._body_request, now)
        elif self._pipeline:
            stream = self._first_stream
            if stream is not None:
                stream.check_time(now)
        elif self._buffered:
            if waited_s > self._lane.head_timeout_s:
                self._end()
        elif waited_s > self._lane.keep_alive_timeout_s:
            self.close()

    def _check_body(self, request: LaneRequest, now: float) -> None:
        """Refuse a request whose body comes too slowly, or for which there is no memory."""
        account = self._account
        error: ServerError
        if account.is_waiting:
            if now - self.waiting_since <= self._lane.body_timeout_s:
                return
            error = NoMemory()
        elif account.is_body_too_slow(now, request, self.body_filled, self._lane.body_timeout_s):
            error = RequestTimeout(LATE_BODY)
        else:
            return
        self._body_request = None
        request.is_kept_alive = False
        request.fail(error)

    def forget_head(self) -> None:
        """Paths may stand for something else now."""
        self._head = None

    @faults.ends_connection
    def leave(self, quiet_since: float) -> None:
        """The server stops: the last answer that is owed ends it. Close it where nothing came since then."""
        if self._pipeline:
            self._pipeline[-1].is_kept_alive = False
        elif self.is_idle and self.waiting_since <= quiet_since:
            self.close()

    @faults.ends_connection
    def close(self) -> None:
        """Close where nothing is owed; else after the last answer."""
        if self._pipeline:
            self._pipeline[-1].is_kept_alive = False
            self._buffered = b""
        elif not self._is_closing:
            self._is_closing = True
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def reset(self) -> None:
        """End it as nobody takes for a good end."""
        reset(self._transport)
