"""The inference API: health, descriptions, predictions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from mms.core import Request
from mms.errors import BadRequest, MethodNotAllowed
from mms.http import openapi
from mms.http.exchange import Exchange, FutureReply
from mms.http.routes import InferenceRoute, find_prediction, first_values

if TYPE_CHECKING:
    from mms.serving import ModelHost


class InferenceApi:
    """The routes of the inference listener."""

    def __init__(
        self, host: ModelHost, *, max_body_bytes: int, body_timeout_s: float, is_strict_ping: bool
    ) -> None:
        self._host = host
        self._max_body_bytes = max_body_bytes
        self._body_timeout_s = body_timeout_s
        self._is_strict_ping = is_strict_ping

    async def serve(self, exchange: Exchange, segments: list[str]) -> web.StreamResponse | None:
        """The response, or None for a path that is not of this API."""
        if not segments:
            return None
        if segments[0] == "ping":
            return self._ping(exchange)
        route = find_prediction(segments)
        if route is None:
            return None
        model = self.model_of(route, exchange.query)
        if exchange.method == "OPTIONS":
            self._host.check_model(model, route.version)
            return exchange.json(openapi.of_model(model))
        return await self._predict(exchange, route, model)

    def model_of(self, route: InferenceRoute, query: bytes) -> str:
        """The model that a route names, in its path, its query, or by being the only one."""
        if route.model is not None:
            return route.model
        named = first_values(query).get("model_name")
        if named:
            return named
        default = self._host.default_model_name()
        if default is not None:
            return default
        if named is None:
            raise BadRequest("Parameter model_name is required.")
        return named

    def _ping(self, exchange: Exchange) -> web.StreamResponse:
        status = self._host.ping()
        is_bad = self._is_strict_ping and status != "Healthy"
        return exchange.json({"status": status}, status=503 if is_bad else 200)

    async def _predict(
        self, exchange: Exchange, route: InferenceRoute, model: str
    ) -> web.StreamResponse:
        self._host.check_model(model, route.version)
        exchange.model = model
        exchange.version = route.version or ""
        if exchange.method == "CONNECT":
            raise MethodNotAllowed
        reply = FutureReply(exchange)
        request = Request(
            id=exchange.id,
            name=model,
            version=route.version,
            passes_query=route.passes_query,
            content_type=exchange.content_type(),
            query=exchange.query,
            headers=exchange.header_block(),
            body=await exchange.read_body(self._max_body_bytes, self._body_timeout_s),
            reply=reply,
            received_at=exchange.received_at,
        )
        self._host.submit(request)
        try:
            return await reply.done
        except asyncio.CancelledError:
            # The client is gone.
            self._host.cancel(request)
            raise
