"""aiohttp's HTTP protocol with this server's own answers to what is no HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from mms.errors import BadRequest, InternalServerError
from mms.http.exchange import Exchange
from mms.http.lane import MAX_PROBES, PROBE_S

logger = logging.getLogger("mms.http")

Serve = Callable[[Exchange], Awaitable[web.StreamResponse]]


class _Handler(RequestHandler):
    """A connection on the aiohttp side."""

    __slots__ = ("_make_exchange", "is_busy", "is_half_closed")

    def __init__(
        self,
        manager: web.Server,
        make_exchange: Callable[[web.BaseRequest], Exchange],
        **options: Any,
    ) -> None:
        super().__init__(manager, **options)
        self._make_exchange = make_exchange
        #: A request is being served, and nothing of its answer is written.
        self.is_busy = False
        self.is_half_closed = False

    def eof_received(self) -> bool | None:  # type: ignore[override]  # asyncio takes an answer here
        """As on the lane: a client may have closed its sending side alone and still wait for its answer."""
        self.is_half_closed = True
        if not self.is_busy:
            return None
        self._probe(0)
        return True

    def _probe(self, probes: int) -> None:
        transport = self.transport
        if not self.is_busy or transport is None or transport.is_closing():
            return
        if probes:
            transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if probes < MAX_PROBES:
            asyncio.get_running_loop().call_later(PROBE_S, self._probe, probes + 1)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no HTTP is answered with 400 and the end of the connection; a fault of ours with 500."""
        exchange = self._make_exchange(request)
        if status == 500:
            logger.error("Unexpected error in %s", exchange, exc_info=exc)
            response = exchange.error(InternalServerError("Unknown exception"))
        else:
            response = exchange.error(BadRequest("Invalid HTTP message."))
        response.force_close()
        return response


class EdgeServer:
    """Makes the protocols of connections, and ends them."""

    def __init__(
        self,
        serve: Serve,
        make_exchange: Callable[[web.BaseRequest], Exchange],
        *,
        keep_alive_timeout_s: float,
        max_line_bytes: int,
        max_field_bytes: int,
    ) -> None:
        self._make_exchange = make_exchange
        self._serve = serve
        self._server = web.Server(self._handle, handler_cancellation=True)
        self._options = {
            "keepalive_timeout": keep_alive_timeout_s,
            "max_line_size": max_line_bytes,
            "max_field_size": max_field_bytes,
            "auto_decompress": False,
            "access_log": None,
            "logger": logger,
        }

    def make_protocol(self) -> asyncio.Protocol:
        return _Handler(
            self._server,
            self._make_exchange,
            loop=asyncio.get_running_loop(),
            **self._options,
        )

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        if not isinstance(connection, _Handler):
            raise TypeError(f"a request of a foreign connection: {connection!r}")
        connection.is_busy = True
        try:
            response = await self._serve(self._make_exchange(request))
        finally:
            connection.is_busy = False
        if connection.is_half_closed:
            response.force_close()
        return response

    async def drain(self, timeout_s: float) -> None:
        """Close idle connections, wait for busy ones."""
        self._server.pre_shutdown()
        if self._server.connections:
            await self._server.shutdown(timeout_s)

    async def close(self) -> None:
        await self._server.shutdown(0)
