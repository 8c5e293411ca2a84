"""The inference API: health, descriptions, predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from mms.errors import BadRequest
from mms.http import openapi
from mms.http.asking import ModelAsker
from mms.http.exchange import Exchange
from mms.http.lane_head import LaneRoute
from mms.http.routes import InferenceRoute, find_prediction, first_values

if TYPE_CHECKING:
    from mms.serving import ModelHost


class InferenceApi:
    """The routes of the inference listener."""

    def __init__(self, host: ModelHost, asker: ModelAsker, *, is_strict_ping: bool) -> None:
        self._host = host
        self._asker = asker
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
        asked = LaneRoute(model, route.version, route.passes_query)
        return await self._asker.ask(exchange, asked)

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
