"""aiohttp's HTTP protocol with this server's own answers to what is no HTTP."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiohttp import HttpVersion11, StreamReader, web
from aiohttp.web import RequestPayloadError
from aiohttp.web_protocol import RequestHandler

from mms import faults
from mms.errors import BadRequest, ServerError, UnexpectedError
from mms.http.exchange import READ_AHEAD_BYTES, Answer, Exchange
from mms.http.framing import MAX_HEADERS_BYTES, MAX_LINE_BYTES, Framing, Part, oversize
from mms.http.lane.front import LINGER_S
from mms.limits.connections import MAX_PROBES, PROBE_S
from mms.limits.memory import MemoryLimit, Pace, WaitingAccount

logger = logging.getLogger("mms.http")

#: How often connections are checked against their timeouts, in seconds.
_SWEEP_S = 1.0
#: After an answer that ends a connection, what the client still sends is read and thrown away: closing with unread
#: bytes would reset the connection, and could take the answer away from the client. For LINGER_S without a byte, and
#: in all for, in seconds:
_LINGER_S = 10.0
#: Requests of one connection that have been read and are not answered; more are not read until then.
_MAX_PIPELINED = 16
#: Answers from here on are counted for what a connection holds.
_LARGE_BYTES = 64 * 1024
#: No request begins so; what is no HTTP is answered in its turn by letting aiohttp read this.
_NO_HTTP = b"\0"

Serve = Callable[[Exchange], Awaitable[web.StreamResponse]]


class _Handler(RequestHandler):
    """A connection on the aiohttp side. Owned by the event loop."""

    __slots__ = (
        "_broken",
        "_content",
        "_edge",
        "_ended",
        "_framing",
        "_last_byte_at",
        "_stream",
        "_oversize",
        "_pace",
        "_unread",
        "_unsent_bytes",
        "_make_exchange",
        "account",
        "begun",
        "finished",
        "head_since",
        "is_half_closed",
        "quiet_since",
    )

    def __init__(
        self,
        manager: web.Server,
        edge: EdgeServer,
        make_exchange: Callable[[web.BaseRequest], Exchange],
        **options: Any,
    ) -> None:
        super().__init__(manager, **options)
        self._edge = edge
        self._make_exchange = make_exchange
        #: When the first byte of a head came that is not complete yet; of `time.monotonic()`, 0 for none.
        self.head_since = 0.0
        self._framing = Framing()
        #: What has come beyond _MAX_PIPELINED requests. While there is some, no more is read.
        self._unread = b""
        #: Requests that were given to their routes, and those whose answers have been made.
        self.begun = 0
        self.finished = 0
        #: The number of the request whose body cannot be read to its end; 0 for none.
        self._broken = 0
        #: Why what came is no request, where it is too long for one.
        self._oversize: ServerError | None = None
        self._content: StreamReader | None = None
        #: aiohttp forgets its own reference where it closes, though there may be something left to send.
        self._stream: asyncio.Transport | None = None
        #: How fast the client takes its answers, and what was to be sent at the last look.
        self._pace = Pace()
        self._unsent_bytes = 0
        self.account = WaitingAccount(edge.memory)
        self.is_half_closed = False
        #: When the last answer was made, or the connection; of `time.monotonic()`.
        self.quiet_since = time.monotonic()
        #: While what comes is thrown away: done when the client has ended its side, too.
        self._ended: asyncio.Future[None] | None = None
        self._last_byte_at = 0.0

    @property
    def is_busy(self) -> bool:
        """A request has been read, and nothing of its answer is written."""
        return self._request_count > self.finished

    @faults.ends_connection
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._stream = cast(asyncio.Transport, transport)
        self._edge.add(self)

    @faults.ends_connection
    def connection_lost(self, exc: BaseException | None) -> None:
        self._stream = None
        self._edge.connections.discard(self)
        self.account.close()
        super().connection_lost(exc)

    def log_exception(self, *arguments: Any, **options: Any) -> None:
        """Of what aiohttp runs for this connection, which it ends then."""
        error = options.get("exc_info")
        if isinstance(error, Exception):
            faults.note("connection", error)
        else:
            super().log_exception(*arguments, **options)

    def abort(self) -> None:
        """End the connection at once."""
        if self._stream is not None:
            self._stream.abort()

    def check_reader(self, now: float, spare_s: float) -> None:
        """End a connection whose client takes its answer too slowly."""
        if self._stream is None:
            return
        unsent_bytes = self._stream.get_write_buffer_size()
        if not self.is_busy and self.account.held_bytes:
            self.account.note(unsent_bytes)
        if not unsent_bytes or unsent_bytes > self._unsent_bytes:
            # There is nothing, or a new answer: aiohttp writes none before most of the last one is taken.
            self._pace.rest()
        self._unsent_bytes = unsent_bytes
        if unsent_bytes and self._pace.is_too_slow(now, -unsent_bytes, spare_s):
            self._stream.abort()

    def data_received(self, data: bytes) -> None:
        if self._ended is not None:
            self._last_byte_at = time.monotonic()
            return
        if not data:
            # aiohttp's own call: there is room again for what it holds back of a body.
            super().data_received(data)
            return
        if self._unread:
            self._unread += data
            self._hold()
            return
        self._read(data)

    def _read(self, data: bytes) -> None:
        framing = self._framing
        for part, piece, position in framing.cut(data):
            known = self._request_count
            if part is Part.HEAD:
                super().data_received(with_host(piece))
                if known + 1 - self.finished >= _MAX_PIPELINED and position < len(data):
                    self._unread = data[position:]
                    self._hold()
                    break
            elif part is Part.BODY:
                super().data_received(piece)
                if self._request_count > known:
                    # aiohttp takes no more of this body, and counts its complaint for a request.
                    self._break_body(known)
                    break
            elif part is Part.NO_HTTP:
                self._oversize = oversize(piece)
                super().data_received(_NO_HTTP)
            else:
                self._break_body(known)
        if not framing.has_begun_head:
            self.head_since = 0.0
        elif not self.head_since:
            self.head_since = time.monotonic()

    def _hold(self) -> None:
        if self.transport is not None:
            self.transport.pause_reading()

    def _resume_transport_reading(self) -> None:
        # aiohttp's queue has room again; what is held back here comes before more is read.
        if not self._unread:
            super()._resume_transport_reading()

    def _go_on(self) -> None:
        """Read what was held back, once enough of the requests before it are answered."""
        if not self._unread or self._request_count - self.finished >= _MAX_PIPELINED // 2:
            return
        data, self._unread = self._unread, b""
        self._read(data)
        if not self._unread and not self._reading_paused and self.transport is not None:
            self.transport.resume_reading()

    def _break_body(self, number: int) -> None:
        self._framing.is_over = True
        self._broken = number
        if self.finished >= number:
            self.force_close()
        elif self._content is not None and self.begun == number:
            # A reader that has been woken for a chunk just now looks for the end alone.
            self._content.set_exception(RequestPayloadError("it is not in chunks"))
            self._content.feed_eof()

    def begin(self, request: web.BaseRequest) -> bool:
        """A request goes to its route. False if its body is broken already."""
        self.begun += 1
        self._content = request.content
        return self.begun != self._broken

    def finish(self) -> bool:
        """The answer of a request is made. Whether the connection serves on."""
        self.finished += 1
        self.quiet_since = time.monotonic()
        self._content = None
        if self.head_since:
            self.head_since = time.monotonic()
        self._go_on()
        return self.finished != self._broken and (self._owes_answers or not self.is_half_closed)

    @faults.ends_connection
    def eof_received(self) -> bool | None:  # type: ignore[override]  # asyncio takes an answer here
        """As on the lane: a client may have closed its sending side alone and still wait for its answers."""
        self.is_half_closed = True
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)
        if not self._owes_answers:
            # Said to the transport, too: the lane may have kept it open for earlier answers.
            self.force_close()
            return None
        self._probe(0)
        return True

    @property
    def _owes_answers(self) -> bool:
        """Whether there is a whole request without an answer, once the client sends no more."""
        # What is held back is yet to be cut.
        is_cut_off = self._framing.is_in_body and not self._unread
        return self._request_count - is_cut_off > self.finished

    @faults.ends_connection
    def _probe(self, probes: int) -> None:
        transport = self.transport
        if not self.is_busy or transport is None or transport.is_closing():
            return
        if probes:
            transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if probes < MAX_PROBES:
            asyncio.get_running_loop().call_later(PROBE_S, self._probe, probes + 1)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        finished, is_reset = await super().finish_response(request, resp, start_time)
        if not is_reset:
            try:
                # Else answers to a client that reads none pile up: the next request is not begun until then.
                await self._drain_helper()
            except ConnectionError:
                is_reset = True
        if not is_reset and not finished.keep_alive:
            await self._linger()
            if self.is_half_closed or self.finished == self._broken:
                # Nothing more can come of this request, so aiohttp must not wait for it.
                self.force_close()
        return finished, is_reset

    async def _linger(self) -> None:
        """End this side, read until the client ends its own or is silent, and close."""
        transport = self.transport
        if transport is None or transport.is_closing() or self.is_half_closed:
            return
        if self._force_close or not transport.can_write_eof():
            return
        self._ended = asyncio.get_running_loop().create_future()
        transport.write_eof()
        transport.resume_reading()
        until = time.monotonic() + _LINGER_S
        while not self._ended.done():
            self._last_byte_at = 0.0
            await asyncio.wait((self._ended,), timeout=LINGER_S)
            if not self._last_byte_at or time.monotonic() > until:
                break
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no HTTP is answered with 400 and the end of the connection; a fault of ours with 500."""
        if status < 500:
            # aiohttp takes what it cannot read for HTTP/1.0; no client would expect that.
            request._version = HttpVersion11
        exchange = self._make_exchange(request)
        if status >= 500:
            if exc is not None:
                faults.note("request", exc, exchange.model, exchange.version)
            return exchange.error(UnexpectedError(exchange.id))
        self.begun += 1
        self.finish()
        if self._oversize is None:
            return exchange.error(BadRequest("Invalid HTTP message."))
        logger.warning("Refused a request of %s: %s", exchange.remote, self._oversize)
        return exchange.error(self._oversize)


def with_host(data: bytes) -> bytes:
    """A head with an empty `Host` header where it has none.

    aiohttp refuses HTTP/1.1 without one; MMS serves it, and probes of load balancers rely on that.
    """
    end = data.find(b"\r\n\r\n")
    line_end = data.find(b"\r\n")
    if end < 0 or line_end < 1 or not data.endswith(b" HTTP/1.1", 0, line_end):
        return data
    if b"\r\nhost:" in data[line_end : end + 2].lower():
        return data
    return b"%b\r\nHost: %b" % (data[:line_end], data[line_end:])


class EdgeServer:
    """Makes the protocols of connections, and ends them."""

    def __init__(
        self,
        serve: Serve,
        make_exchange: Callable[[web.BaseRequest], Exchange],
        *,
        keep_alive_timeout_s: float,
        head_timeout_s: float,
        memory: MemoryLimit,
    ) -> None:
        self.memory = memory
        self._make_exchange = make_exchange
        self._serve = serve
        self._server = web.Server(self._handle, handler_cancellation=True)
        self._head_timeout_s = head_timeout_s
        self._reader_timeout_s = keep_alive_timeout_s
        self.connections: set[_Handler] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_leaving = False
        self._exchanges: set[Exchange] = set()
        self._options = {
            "keepalive_timeout": keep_alive_timeout_s,
            # Where aiohttp draws the line differs by version; exchanges have the last word.
            "max_line_size": MAX_LINE_BYTES,
            "max_field_size": MAX_HEADERS_BYTES,
            "max_headers": MAX_HEADERS_BYTES,
            "auto_decompress": False,
            # What is read of a body ahead of its route, which counts it.
            "read_bufsize": READ_AHEAD_BYTES,
            # For the body of a request that was refused before it came. Connections that end linger by themselves.
            "lingering_time": _LINGER_S,
            "access_log": None,
            "logger": logger,
        }

    def make_protocol(self) -> asyncio.Protocol:
        return _Handler(
            self._server,
            self,
            self._make_exchange,
            loop=asyncio.get_running_loop(),
            **self._options,
        )

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        if not isinstance(connection, _Handler):
            raise TypeError(f"a request of a foreign connection: {connection!r}")
        exchange = self._make_exchange(request)
        if self._is_leaving:
            exchange.end_connection()
        exchange.account = connection.account
        self._exchanges.add(exchange)
        is_whole = connection.begin(request)
        serves_on = False
        try:
            if is_whole:
                response = await self._serve(exchange)
            else:
                response = exchange.error(BadRequest("Invalid HTTP message."))
        finally:
            self._exchanges.discard(exchange)
            connection.account.note(0)
            serves_on = connection.finish()
        if isinstance(response, Answer) and response.size_bytes >= _LARGE_BYTES:
            # Until the next look at what of it is not taken yet.
            connection.account.note(response.size_bytes)
        if not serves_on or self._is_leaving:
            response.force_close()
        return response

    def add(self, connection: _Handler) -> None:
        """Watch over a connection."""
        self.connections.add(connection)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        try:
            self._check_connections(time.monotonic())
        finally:
            if self.connections:
                self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)

    def _check_connections(self, now: float) -> None:
        """End the connections whose clients are too slow with a head, or do not read."""
        limit = now - self._head_timeout_s
        for connection in list(self.connections):
            try:
                connection.check_reader(now, self._reader_timeout_s)
                if 0.0 < connection.head_since < limit and not connection.is_busy:
                    connection.force_close()
            except Exception as error:
                faults.note("connection", error)
                with faults.contained("connection"):
                    connection.abort()

    def leave(self, quiet_since: float) -> None:
        """The server stops: answers end their connections from now on. Those that were quiet since then end at once."""
        self._is_leaving = True
        for exchange in self._exchanges:
            exchange.end_connection()
        for connection in list(self.connections):
            is_idle = not connection.is_busy and not connection.head_since
            if is_idle and connection.quiet_since <= quiet_since:
                connection.force_close()

    async def drain(self, timeout_s: float) -> None:
        """Close idle connections, wait for busy ones."""
        self._server.pre_shutdown()
        if self._server.connections:
            await self._server.shutdown(timeout_s)

    async def close(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        await self._server.shutdown(0)
