"""The HTTP front: its listeners, and what they serve."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
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
from mms.http.answers import Answers
from mms.http.exchange import MAX_HEADERS_BYTES, MAX_LINE_BYTES, Exchange
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
from mms.http.tls import make_context
from mms.observe import events

if TYPE_CHECKING:
    from mms.observe import Recorder
    from mms.serving import ModelHost
    from mms.settings import Settings

logger = logging.getLogger("mms.http")

#: Between two lines about refused connections, in seconds.
_TELL_FULL_S = 10.0


class _Listener:
    """One listener: which APIs it has, and the edge of its connections."""

    def __init__(self, front: HttpFront, *, has_inference: bool, has_management: bool) -> None:
        self._front = front
        self._has_inference = has_inference
        self._has_management = has_management
        self._document: dict[str, Any] | None = None
        settings = front.settings
        self.edge = EdgeServer(
            self.serve,
            front.make_exchange,
            keep_alive_timeout_s=settings.keep_alive_timeout_s,
            head_timeout_s=settings.head_timeout_s,
        )
        self.lane: LaneFront | None = None
        if has_inference and settings.lane:
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
        if self._front.plugins.find(INFERENCE, segments) is not None:
            return None
        route = find_prediction(segments)
        if route is None or route.model is None:
            return None
        return LaneRoute(route.model, route.version, route.passes_query)

    async def serve(self, exchange: Exchange) -> web.StreamResponse:
        """The response of any request; errors are responses, too."""
        try:
            exchange.check_head(self._front.settings.max_request_size)
            return await self._route(exchange)
        except ServerError as error:
            return exchange.error(error)
        except MemoryError:
            return exchange.error(_OutOfMemory())

    async def _route(self, exchange: Exchange) -> web.StreamResponse:
        front = self._front
        if exchange.uri == "*":
            return exchange.json(self._description())
        segments = split_path(exchange.path)
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
        if self._has_inference:
            response = await front.inference.serve(exchange, segments)
            if response is not None:
                return response
        if self._has_management:
            if segments == ["metrics"]:
                return await front.metrics(exchange)
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
    ) -> None:
        """`scrape`: makes the text of `/metrics` for an `Accept` header. Raises ConfigurationError for bad plugins."""
        self.settings = settings
        self.host = host
        self.recorder = recorder
        self._scrape = scrape
        cors = (
            ("origin", settings.cors_allowed_origin),
            ("methods", settings.cors_allowed_methods),
            ("headers", settings.cors_allowed_headers),
        )
        self.answers = Answers(
            [(f"access-control-allow-{name}", value) for name, value in cors if value]
        )
        self.inference = InferenceApi(
            host,
            max_body_bytes=settings.max_request_size,
            body_timeout_s=settings.body_timeout_s,
            is_strict_ping=settings.strict_ping,
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
        self._listeners: list[_Listener] = []
        self._servers: list[asyncio.AbstractServer] = []

    def __repr__(self) -> str:
        return f"<HttpFront {self.settings.inference_address}, {self.settings.management_address}>"

    def make_exchange(self, request: web.BaseRequest) -> Exchange:
        transport = request.transport
        remote = remote_name(transport) if transport is not None else "0.0.0.0"
        return Exchange(request, remote, self.answers, self.recorder.requests.append)

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
        settings = self.settings
        addresses = [(settings.inference_address, True, settings.is_single_listener)]
        if not settings.is_single_listener:
            addresses.append((settings.management_address, False, True))
        context = None
        if any(address.is_tls for address, _, _ in addresses):
            context = make_context(settings)
        for address, has_inference, has_management in addresses:
            listener = _Listener(self, has_inference=has_inference, has_management=has_management)
            self._listeners.append(listener)
            self._servers.append(await listen(address, listener.make_protocol, context))
            if has_inference:
                events.listener_bound("Inference", str(address))
            if has_management:
                events.listener_bound("Management", str(address))

    async def stop_listening(self) -> None:
        """Refuse new connections."""
        for server in self._servers:
            server.close()
        if self._servers:
            remove_sockets(self.settings.inference_address, self.settings.management_address)
        self._servers = []

    async def drain(self, timeout_s: float) -> None:
        """Close connections without a request, and wait for the answers of the others to be sent."""
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
