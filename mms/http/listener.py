"""One listener of the server: which APIs it has, and where each request goes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from enum import Flag, auto
from typing import TYPE_CHECKING, Any

from aiohttp import web

from mms import faults
from mms.connections import Refusal
from mms.errors import (
    BadRequest,
    InternalServerError,
    MethodNotAllowed,
    ResourceNotFound,
    ServerError,
    UnexpectedError,
)
from mms.http import openapi
from mms.http.access import (
    ANY_ROLE,
    INFERENCE_ROLE,
    MANAGEMENT_ROLE,
    OPEN,
    CountedLaneProtocol,
    roles_of,
)
from mms.http.answers import JSON_LINE, render_json
from mms.http.exchange import Exchange
from mms.http.framing import MAX_HEADERS_BYTES, MAX_LINE_BYTES
from mms.http.lane_front import LaneFront
from mms.http.lane_head import LaneRoute
from mms.http.plugins import INFERENCE, MANAGEMENT
from mms.http.protocol import EdgeServer
from mms.http.routes import find_prediction, split_path
from mms.http.seldon_form import error_form
from mms.http.seldon_routes import PROBES, SeldonPath
from mms.http.v2_routes import V2Kind, V2Path
from mms.security import Access, Role

if TYPE_CHECKING:
    from mms.http.apis import HttpApis

logger = logging.getLogger("mms.http")


class Apis(Flag):
    """What a listener serves."""

    INFERENCE = auto()
    MANAGEMENT = auto()
    #: Besides inference: where Seldon has a route and MMS has none. Alone: every path.
    SELDON = auto()
    METRICS = auto()


class Listener:
    """One listener: which APIs it has, and the edge of its connections."""

    def __init__(self, shared: HttpApis, apis: Apis, is_full: Callable[[], bool]) -> None:
        self._shared = shared
        self._is_full = is_full
        self._apis = apis
        self._has_inference = Apis.INFERENCE in apis
        self._has_management = Apis.MANAGEMENT in apis
        has_mms = bool(apis & (Apis.INFERENCE | Apis.MANAGEMENT))
        self._is_seldon_alone = Apis.SELDON in apis and not has_mms
        self._document: bytes | None = None
        settings = shared.settings
        has_keys = shared.access is not None and shared.access.guard is not None
        self._answers_preflights = has_keys or settings.cors_allowed_origin is not None
        self.edge = EdgeServer(
            self.serve,
            self._make_exchange,
            keep_alive_timeout_s=settings.keep_alive_timeout_s,
            head_timeout_s=settings.head_timeout_s,
            memory=shared.memory,
        )
        self.lane: LaneFront | None = None
        if Apis.SELDON in apis and settings.lane:
            self.lane = LaneFront(
                shared.host,
                shared.answers,
                shared.recorder.requests.append,
                self.edge.make_protocol,
                self._lane_route,
                max_body_bytes=settings.max_request_size,
                max_line_bytes=MAX_LINE_BYTES,
                max_head_bytes=MAX_LINE_BYTES + MAX_HEADERS_BYTES,
                keep_alive_timeout_s=settings.keep_alive_timeout_s,
                head_timeout_s=settings.head_timeout_s,
                body_timeout_s=settings.body_timeout_s,
                memory=shared.memory,
                trusts_request_ids=settings.trust_request_id,
                **_lane_options(shared.access),
            )

    @property
    def connection_count(self) -> int:
        return len(self.edge.connections) + (len(self.lane.connections) if self.lane else 0)

    def make_protocol(self) -> asyncio.Protocol:
        if self._is_full():
            return Refusal()
        if self.lane is not None:
            return self.lane.make_protocol()
        return self.edge.make_protocol()

    def _lane_route(self, path: bytes) -> LaneRoute | None:
        if not path.startswith(b"/"):
            return None
        try:
            segments = split_path(path)
        except BadRequest:
            return None
        found = self._find_seldon(path, segments)
        if found is not None:
            return self._shared.seldon.lane_route(path, found)
        if not self._has_inference or self._shared.plugins.find(INFERENCE, segments) is not None:
            return None
        route = find_prediction(segments)
        if route is None:
            return self._shared.v2.lane_route(segments)
        if route.model is None:
            return None
        return LaneRoute(route.model, route.version, route.passes_query)

    def _find_seldon(self, path: bytes, segments: list[str]) -> SeldonPath | None:
        if Apis.SELDON not in self._apis:
            return None
        if Apis.METRICS in self._apis and self._shared.is_metrics_path(segments):
            return None
        if self._has_inference and self._shared.plugins.find(INFERENCE, segments) is not None:
            return None
        return self._shared.seldon.find(path, segments, is_alone=self._is_seldon_alone)

    def _find_v2(self, exchange: Exchange, segments: list[str]) -> V2Path | None:
        if not self._has_inference or exchange.uri == "*" or self._is_metrics_path(segments):
            return None
        if self._shared.plugins.find(INFERENCE, segments) is not None:
            return None
        return self._shared.v2.find_for(exchange, segments)

    def _make_exchange(self, request: web.BaseRequest) -> Exchange:
        exchange = self._shared.make_exchange(request)
        if self._is_seldon_alone:
            exchange.error_form = error_form
        return exchange

    async def serve(self, exchange: Exchange) -> web.StreamResponse:
        """The response of any request; errors are responses, too."""
        shared = self._shared
        try:
            segments = split_path(exchange.path) if exchange.uri != "*" else []
            found = self._find_seldon(exchange.path, segments)
            found_v2 = self._find_v2(exchange, segments) if found is None else None
            if found is not None:
                shared.seldon.mark(exchange, found)
            elif found_v2 is not None:
                shared.v2.mark(exchange, found_v2)
            if self._answers_preflights and _is_preflight(exchange, found):
                return exchange.respond(200, None, b"", b"")
            if shared.access is not None:
                self._enter(shared.access, exchange, segments, found, found_v2)
            if self._has_management:
                self._check_page(exchange, segments, found is not None or found_v2 is not None)
            exchange.check_head(shared.settings.max_request_size)
            if found is not None:
                return await shared.seldon.serve(exchange, found)
            if found_v2 is not None:
                return await shared.v2.serve(exchange, found_v2)
            return await self._route(exchange, segments)
        except ServerError as error:
            return exchange.error(error)
        except MemoryError:
            return exchange.error(_OutOfMemory())
        except ConnectionError:
            # The client is gone.
            raise
        except Exception as error:
            faults.note(
                "request", error, exchange.model, exchange.version, request_ids=(exchange.id,)
            )
            return exchange.error(UnexpectedError(exchange.id))

    def _enter(
        self,
        access: Access,
        exchange: Exchange,
        segments: list[str],
        found: SeldonPath | None,
        found_v2: V2Path | None,
    ) -> None:
        """Raises Unauthorized, Forbidden and TooManyRequests."""
        if found is not None:
            is_probe = found.tail is not None and found.tail.answerer in PROBES
            roles = ANY_ROLE if is_probe else INFERENCE_ROLE
            if exchange.method == "OPTIONS" or (is_probe and found.model is None):
                roles = OPEN
        elif found_v2 is not None:
            is_open = found_v2.kind in (V2Kind.HEALTH, V2Kind.READY)
            roles = OPEN if is_open else INFERENCE_ROLE
        else:
            roles = self._roles_of(segments)
        path = exchange.uri.partition("?")[0]
        what = f"{exchange.method} {path}"
        known = access.enter(exchange.request.raw_headers, roles, exchange.remote, what)
        if known.key is not None and roles == MANAGEMENT_ROLE and exchange.method != "GET":
            logger.info("Key %s of %s: %s", known.key, exchange.remote, what)
        exchange.credentials = known.credentials
        exchange.is_trusted = access.guard is None or known.key is not None

    def _check_page(self, exchange: Exchange, segments: list[str], is_inference: bool) -> None:
        """Raises Forbidden where the page of another site would manage models, or read what they are called."""
        if is_inference:
            return
        headers = exchange.request.headers
        page_rule = self._shared.page_rule
        if self._roles_of(segments) == MANAGEMENT_ROLE:
            page_rule.check(exchange.method, headers.get("Origin"), headers.get("Host"))
        elif not (self._has_management and self._is_metrics_path(segments)):
            return
        page_rule.check_host(exchange.method, headers.get("Host"))

    def _is_metrics_path(self, segments: list[str]) -> bool:
        has_metrics = bool(self._apis & (Apis.MANAGEMENT | Apis.METRICS))
        return has_metrics and self._shared.is_metrics_path(segments)

    def _roles_of(self, segments: list[str]) -> tuple[Role, ...]:
        plugins = self._shared.plugins
        if self._has_inference and plugins.find(INFERENCE, segments) is not None:
            return OPEN if segments == ["ping"] else INFERENCE_ROLE
        if self._has_management and plugins.find(MANAGEMENT, segments) is not None:
            return MANAGEMENT_ROLE
        return roles_of(
            segments,
            has_inference=self._has_inference,
            has_management=self._has_management,
            is_metrics=self._is_metrics_path(segments),
        )

    async def _route(self, exchange: Exchange, segments: list[str]) -> web.StreamResponse:
        shared = self._shared
        if not self._has_inference and not self._has_management:
            if shared.is_metrics_path(segments):
                return await shared.metrics(exchange)
            raise ResourceNotFound
        if exchange.uri == "*":
            return exchange.respond(200, None, JSON_LINE, self._description())
        if not segments or segments == ["api-description"]:
            if segments or exchange.method == "OPTIONS":
                return exchange.respond(200, None, JSON_LINE, self._description())
            raise MethodNotAllowed
        if segments[0] == "api-description":
            raise MethodNotAllowed
        limit = shared.settings.max_request_size
        for is_on, kind in (
            (self._has_inference, INFERENCE),
            (self._has_management, MANAGEMENT),
        ):
            endpoint = shared.plugins.find(kind, segments) if is_on else None
            if endpoint is not None and exchange.method != "OPTIONS":
                return await shared.plugins.serve(endpoint, exchange, limit)
        health = shared.health.serve(exchange, segments)
        if health is not None:
            return health
        if self._has_inference:
            response = await shared.inference.serve(exchange, segments)
            if response is not None:
                return response
        if self._is_metrics_path(segments):
            return await shared.metrics(exchange)
        if self._has_management:
            response = await shared.management.serve(exchange, segments)
            if response is not None:
                return response
        raise ResourceNotFound

    def _description(self) -> bytes:
        """Written once: that takes milliseconds, and anybody may ask for it."""
        if self._document is None:
            self._document = render_json(
                openapi.of_server(
                    has_inference=self._has_inference, has_management=self._has_management
                )
            )
        return self._document


def _lane_options(access: Access | None) -> dict[str, Any]:
    """What the lane does about keys and rates; without them nothing, so that it costs nothing."""
    options: dict[str, Any] = {}
    if access is not None and access.guard is not None:
        options["admit"] = access.admit
    if access is not None and access.limit is not None:
        options["make_connection"] = lambda lane: CountedLaneProtocol(lane, access)
    return options


def _is_preflight(exchange: Exchange, found: SeldonPath | None) -> bool:
    """A browser asks whether a page may send a request: it cannot show the page's key, and learns the CORS headers."""
    return (
        exchange.method == "OPTIONS"
        and found is None
        and "Access-Control-Request-Method" in exchange.request.headers
    )


class _OutOfMemory(InternalServerError):
    status = 507

    def __init__(self) -> None:
        super().__init__("Out of resources")
