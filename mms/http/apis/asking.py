"""Requests of the aiohttp side on their way to models."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web

from mms.core import Request
from mms.core.request_options import read_request_options
from mms.errors import MethodNotAllowed
from mms.http.exchange import Exchange, FutureReply
from mms.http.lane.head import LaneRoute
from mms.http.routing.paths import check_query

if TYPE_CHECKING:
    from mms.serving import ModelHost


class ModelAsker:
    """Has models answer exchanges, as the lane does for the same routes."""

    def __init__(self, host: ModelHost, *, max_body_bytes: int, body_timeout_s: float) -> None:
        self._host = host
        self._max_body_bytes = max_body_bytes
        self._body_timeout_s = body_timeout_s

    async def read_body(self, exchange: Exchange) -> bytes | bytearray:
        """Raises as `Exchange.read_body`."""
        return await exchange.read_body(self._max_body_bytes, self._body_timeout_s)

    async def ask(
        self, exchange: Exchange, route: LaneRoute, body: bytes | bytearray | None = None
    ) -> web.StreamResponse:
        """The model's response. Raises the errors of the front.

        `body`: where it was read already.
        """
        self._host.check_model(route.model, route.version)
        exchange.model = route.model
        exchange.version = route.version or ""
        if exchange.method == "CONNECT":
            raise MethodNotAllowed
        options = read_request_options(exchange.request.raw_headers)
        if route.passes_query:
            check_query(exchange.query)
        if body is None:
            check = partial(self._host.check_room, route.model, route.version)
            body = await exchange.read_body(self._max_body_bytes, self._body_timeout_s, check)
        received_at = exchange.received_at
        reply = FutureReply(exchange)
        request = Request(
            id=exchange.id,
            name=route.model,
            version=route.version,
            passes_query=route.passes_query,
            content_type=exchange.content_type(),
            query=exchange.query,
            headers=exchange.header_block(),
            body=body,
            reply=reply,
            received_at=received_at,
            deadline=received_at + options.timeout_s if options.timeout_s else 0.0,
            priority=options.priority,
            operation=route.operation,
        )
        self._host.submit(request)
        try:
            return await reply.done
        except asyncio.CancelledError:
            # The client is gone.
            self._host.cancel(request)
            raise
