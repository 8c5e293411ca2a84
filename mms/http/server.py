"""The HTTP front: its listeners, and what they serve."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from enum import Flag, auto
from typing import TYPE_CHECKING, Any

from aiohttp import web

from mms.errors import (
    BadRequest,
    InternalServerError,
    MethodNotAllowed,
    ResourceNotFound,
    ServerError,
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
from mms.http.answers import Answers
from mms.http.asking import ModelAsker
from mms.http.exchange import Exchange
from mms.http.framing import MAX_HEADERS_BYTES, MAX_LINE_BYTES
from mms.http.health import HealthApi
from mms.http.inference import InferenceApi
from mms.http.lane import remote_name
from mms.http.lane_front import LaneFront
from mms.http.lane_head import LaneRoute
from mms.http.listeners import listen, remove_sockets
from mms.http.management import ManagementApi
from mms.http.plugin_loading import find_endpoints
from mms.http.plugins import INFERENCE, MANAGEMENT, Plugins
from mms.http.protocol import EdgeServer, Refusal
from mms.http.routes import find_prediction, split_path
from mms.http.sagemaker import ExecutionParameters, SageMakerPing
from mms.http.seldon import SeldonApi
from mms.http.seldon_form import error_form
from mms.http.seldon_routes import PROBES, SeldonPath
from mms.http.tls import Certificates
from mms.http.v2 import V2Api
from mms.http.v2_routes import V2Kind, V2Path
from mms.observe import events
from mms.security import Access, Role

if TYPE_CHECKING:
    from mms.observe import Recorder
    from mms.serving import ModelHost
    from mms.settings import Address, Settings

logger = logging.getLogger("mms.http")

#: At the end of the server, a connection without a request for so long is closed at once, in seconds.
_QUIET_S = 0.25
#: Between two lines about refused connections, in seconds.
_TELL_FULL_S = 10.0


class _Apis(Flag):
    """What a listener serves."""

    INFERENCE = auto()
    MANAGEMENT = auto()
    #: Besides inference: where Seldon has a route and MMS has none. Alone: every path.
    SELDON = auto()
    METRICS = auto()


class _Listener:
    """One listener: which APIs it has, and the edge of its connections."""

    def __init__(self, front: HttpFront, apis: _Apis) -> None:
        self._front = front
        self._apis = apis
        self._has_inference = _Apis.INFERENCE in apis
        self._has_management = _Apis.MANAGEMENT in apis
        has_mms = bool(apis & (_Apis.INFERENCE | _Apis.MANAGEMENT))
        self._is_seldon_alone = _Apis.SELDON in apis and not has_mms
        self._document: dict[str, Any] | None = None
        settings = front.settings
        self.edge = EdgeServer(
            self.serve,
            self._make_exchange,
            keep_alive_timeout_s=settings.keep_alive_timeout_s,
            head_timeout_s=settings.head_timeout_s,
        )
        self.lane: LaneFront | None = None
        if _Apis.SELDON in apis and settings.lane:
            self.lane = LaneFront(
                front.host,
                front.answers,
                front.recorder.requests.append,
                self.edge.make_protocol,
                self._lane_route,
                max_body_bytes=settings.max_request_size,
                max_line_bytes=MAX_LINE_BYTES,
                max_head_bytes=MAX_LINE_BYTES + MAX_HEADERS_BYTES,
                keep_alive_timeout_s=settings.keep_alive_timeout_s,
                head_timeout_s=settings.head_timeout_s,
                body_timeout_s=settings.body_timeout_s,
                **_lane_options(front.access),
            )

    @property
    def connection_count(self) -> int:
        return len(self.edge.connections) + (len(self.lane.connections) if self.lane else 0)

    def make_protocol(self) -> asyncio.Protocol:
        if self._front.is_full:
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
            return self._front.seldon.lane_route(path, found)
        if not self._has_inference or self._front.plugins.find(INFERENCE, segments) is not None:
            return None
        route = find_prediction(segments)
        if route is None:
            return self._front.v2.lane_route(segments)
        if route.model is None:
            return None
        return LaneRoute(route.model, route.version, route.passes_query)

    def _find_seldon(self, path: bytes, segments: list[str]) -> SeldonPath | None:
        if _Apis.SELDON not in self._apis:
            return None
        if _Apis.METRICS in self._apis and self._front.is_metrics_path(segments):
            return None
        if self._has_inference and self._front.plugins.find(INFERENCE, segments) is not None:
            return None
        return self._front.seldon.find(path, segments, is_alone=self._is_seldon_alone)

    def _find_v2(self, exchange: Exchange, segments: list[str]) -> V2Path | None:
        if not self._has_inference or exchange.uri == "*":
            return None
        if self._front.plugins.find(INFERENCE, segments) is not None:
            return None
        return self._front.v2.find_for(exchange, segments)

    def _make_exchange(self, request: web.BaseRequest) -> Exchange:
        exchange = self._front.make_exchange(request)
        if self._is_seldon_alone:
            exchange.error_form = error_form
        return exchange

    async def serve(self, exchange: Exchange) -> web.StreamResponse:
        """The response of any request; errors are responses, too."""
        front = self._front
        try:
            segments = split_path(exchange.path) if exchange.uri != "*" else []
            found = self._find_seldon(exchange.path, segments)
            found_v2 = self._find_v2(exchange, segments) if found is None else None
            if found is not None:
                front.seldon.mark(exchange, found)
            elif found_v2 is not None:
                front.v2.mark(exchange, found_v2)
            if front.access is not None:
                if front.access.guard is not None and _is_preflight(exchange, found):
                    return exchange.respond(200, None, b"", b"")
                self._enter(front.access, exchange, segments, found, found_v2)
            exchange.check_head(front.settings.max_request_size)
            if found is not None:
                return await front.seldon.serve(exchange, found)
            if found_v2 is not None:
                return await front.v2.serve(exchange, found_v2)
            return await self._route(exchange, segments)
        except ServerError as error:
            return exchange.error(error)
        except MemoryError:
            return exchange.error(_OutOfMemory())

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

    def _roles_of(self, segments: list[str]) -> tuple[Role, ...]:
        plugins = self._front.plugins
        if self._has_inference and plugins.find(INFERENCE, segments) is not None:
            return OPEN if segments == ["ping"] else INFERENCE_ROLE
        if self._has_management and plugins.find(MANAGEMENT, segments) is not None:
            return MANAGEMENT_ROLE
        return roles_of(
            segments,
            has_inference=self._has_inference,
            has_management=self._has_management,
            is_metrics=bool(self._apis & (_Apis.MANAGEMENT | _Apis.METRICS))
            and self._front.is_metrics_path(segments),
        )

    async def _route(self, exchange: Exchange, segments: list[str]) -> web.StreamResponse:
        front = self._front
        if not self._has_inference and not self._has_management:
            if front.is_metrics_path(segments):
                return await front.metrics(exchange)
            raise ResourceNotFound
        if exchange.uri == "*":
            return exchange.json(self._description())
        if not segments or segments == ["api-description"]:
            if segments or exchange.method == "OPTIONS":
                return exchange.json(self._description())
            raise MethodNotAllowed
        if segments[0] == "api-description":
            raise MethodNotAllowed
        limit = front.settings.max_request_size
        for is_on, kind in (
            (self._has_inference, INFERENCE),
            (self._has_management, MANAGEMENT),
        ):
            endpoint = front.plugins.find(kind, segments) if is_on else None
            if endpoint is not None and exchange.method != "OPTIONS":
                return await front.plugins.serve(endpoint, exchange, limit)
        health = front.health.serve(exchange, segments)
        if health is not None:
            return health
        if self._has_inference:
            response = await front.inference.serve(exchange, segments)
            if response is not None:
                return response
        if self._apis & (_Apis.MANAGEMENT | _Apis.METRICS) and front.is_metrics_path(segments):
            return await front.metrics(exchange)
        if self._has_management:
            response = await front.management.serve(exchange, segments)
            if response is not None:
                return response
        raise ResourceNotFound

    def _description(self) -> dict[str, Any]:
        if self._document is None:
            self._document = openapi.of_server(
                has_inference=self._has_inference, has_management=self._has_management
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


class HttpFront:
    """Owner of the listeners and their connections."""

    def __init__(
        self,
        settings: Settings,
        host: ModelHost,
        recorder: Recorder,
        scrape: Callable[[str | None], Awaitable[tuple[str, bytes]]],
        *,
        worker_count: int,
        access: Access | None = None,
    ) -> None:
        """`scrape`: makes the text of `/metrics` for an `Accept` header. `access` None: all may do everything.

        Raises ConfigurationError for bad plugins.
        """
        self.settings = settings
        self.access = access
        self.certificates = Certificates(settings)
        self.host = host
        self.recorder = recorder
        self._scrape = scrape
        own = [part for part in settings.seldon_metrics_path.split("/") if part]
        self._metrics_paths = [["metrics"], ["prometheus"], own]
        cors = (
            ("origin", settings.cors_allowed_origin),
            ("methods", settings.cors_allowed_methods),
            ("headers", settings.cors_allowed_headers),
        )
        self.answers = Answers(
            [(f"access-control-allow-{name}", value) for name, value in cors if value]
        )
        asker = ModelAsker(
            host,
            max_body_bytes=settings.max_request_size,
            body_timeout_s=settings.body_timeout_s,
        )
        self.health = HealthApi(host)
        self.inference = InferenceApi(host, asker, is_strict_ping=settings.strict_ping)
        self.seldon = SeldonApi(
            host,
            asker,
            default_model=settings.default_model,
            is_strict=settings.seldon_strict,
            has_cors=settings.cors_allowed_origin is None,
        )
        self.v2 = V2Api(
            host.registry,
            asker,
            host.users_of,
            default_model=settings.default_model,
            is_strict=settings.strict_status,
            has_event_path=settings.mlrun_event_headers,
        )
        self.management = ManagementApi(
            host,
            max_body_bytes=settings.max_request_size,
            body_timeout_s=settings.body_timeout_s,
        )
        self.plugins = Plugins(
            find_endpoints(settings.plugins_path), settings, host, worker_count=worker_count
        )
        if settings.has_sagemaker_config:
            ping = SageMakerPing(settings.default_service_handler, host.is_anything_loaded)
            self.plugins.add_missing(ping)
            self.plugins.add_missing(ExecutionParameters(worker_count, settings.max_request_size))
        self._told_full_at = float("-inf")
        #: Until when connections that were used just before the stop are waited for; of `time.monotonic()`.
        self._leaves_at = 0.0
        self._listeners: list[_Listener] = []
        self._servers: list[asyncio.AbstractServer] = []

    def __repr__(self) -> str:
        return f"<HttpFront {self.settings.inference_address}, {self.settings.management_address}>"

    def make_exchange(self, request: web.BaseRequest) -> Exchange:
        transport = request.transport
        remote = remote_name(transport) if transport is not None else "0.0.0.0"
        return Exchange(request, remote, self.answers, self.recorder.requests.append)

    def is_metrics_path(self, segments: list[str]) -> bool:
        return segments in self._metrics_paths

    async def metrics(self, exchange: Exchange) -> web.StreamResponse:
        if exchange.method not in ("GET", "HEAD"):
            raise MethodNotAllowed
        content_type, body = await self._scrape(exchange.request.headers.get("Accept"))
        line = f"content-type: {content_type}\r\n".encode()
        return exchange.respond(200, None, line, body)

    @property
    def connection_count(self) -> int:
        """Open connections of all listeners."""
        return sum(listener.connection_count for listener in self._listeners)

    @property
    def is_full(self) -> bool:
        """Whether there are as many connections as may be; says so now and then."""
        count = self.connection_count
        if count < self.settings.max_connections:
            return False
        now = time.monotonic()
        if now - self._told_full_at > _TELL_FULL_S:
            self._told_full_at = now
            logger.warning("Refusing connections: there are max_connections=%d.", count)
        return True

    # Its life

    async def start(self) -> None:
        """Listen. Raises BindFailed and ConfigurationError."""
        addresses = self._addresses()
        context = None
        if any(address.is_tls for address, _ in addresses):
            context = self.certificates.context()
        for address, apis in addresses:
            listener = _Listener(self, apis)
            self._listeners.append(listener)
            self._servers.append(await listen(address, listener.make_protocol, context))
            for api, name in (
                (_Apis.INFERENCE, "Inference"),
                (_Apis.MANAGEMENT, "Management"),
                (_Apis.METRICS, "Metrics"),
            ):
                if api in apis:
                    events.listener_bound(name, str(address))
            if apis == _Apis.SELDON:
                events.listener_bound("Seldon", str(address))
        self.host.registry.on_change = self._forget_routes
        if self.access is not None and self.access.guard is not None:
            self.access.guard.on_change.append(self._forget_routes)

    def _addresses(self) -> list[tuple[Address, _Apis]]:
        """Where to listen for what. One address is one listener."""
        settings = self.settings
        wanted = [
            (settings.inference_address, _Apis.INFERENCE | _Apis.SELDON),
            (settings.management_address, _Apis.MANAGEMENT),
            (settings.seldon_address, _Apis.SELDON),
            (settings.seldon_metrics_address, _Apis.METRICS),
        ]
        listeners: dict[tuple[str, int, str], tuple[Address, _Apis]] = {}
        for address, apis in wanted:
            if address is None:
                continue
            known = listeners.get(address.endpoint)
            listeners[address.endpoint] = (known[0], known[1] | apis) if known else (address, apis)
        return list(listeners.values())

    def _forget_routes(self) -> None:
        """Which model is at the root may be different now, or whose key is valid."""
        for listener in self._listeners:
            if listener.lane is not None:
                listener.lane.forget_routes()

    async def stop_listening(self) -> None:
        """Refuse new connections, and end those without a request, so that their clients go elsewhere.

        A request may be on its way on a connection that was used just now: it gets a moment to come, and its answer.
        """
        for server in self._servers:
            server.close()
        if self._servers:
            remove_sockets(*(address for address, _ in self._addresses()))
        self._servers = []
        now = time.monotonic()
        self._leave(now - _QUIET_S)
        if self.connection_count:
            self._leaves_at = now + _QUIET_S
            asyncio.get_running_loop().call_later(_QUIET_S, self._leave, float("inf"))

    def _leave(self, quiet_since: float) -> None:
        for listener in self._listeners:
            listener.edge.leave(quiet_since)
            if listener.lane is not None:
                listener.lane.leave(quiet_since)

    async def drain(self, timeout_s: float) -> None:
        """Close connections without a request, and wait for the answers of the others to be sent."""
        moment_s = min(self._leaves_at - time.monotonic(), timeout_s)
        if moment_s > 0:
            await asyncio.sleep(moment_s)
        for listener in self._listeners:
            if listener.lane is not None:
                listener.lane.close_idle()
        await asyncio.gather(*(listener.edge.drain(timeout_s) for listener in self._listeners))
        waits = [
            asyncio.ensure_future(listener.lane.is_empty.wait())
            for listener in self._listeners
            if listener.lane is not None
        ]
        if waits:
            await asyncio.wait(waits, timeout=timeout_s)
            for wait in waits:
                wait.cancel()

    async def close(self) -> None:
        """End all connections."""
        for listener in self._listeners:
            if listener.lane is not None:
                listener.lane.close()
            await listener.edge.close()
        await self.management.close()
