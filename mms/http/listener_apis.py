"""The APIs that the listeners share, and what they have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from enum import Flag, auto
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from aiohttp import web
from aiohttp.typedefs import Middleware

from mms.http.answers import Answers
from mms.http.apis.descriptions import DescriptionApi, reserve
from mms.http.apis.health import HealthApi
from mms.http.apis.inference import InferenceApi
from mms.http.apis.management import ManagementApi
from mms.http.apis.management_operations import METRICS
from mms.http.apis.model_asker import ModelAsker
from mms.http.apis.model_logs import ModelLogApi
from mms.http.apis.model_samples import ModelSampleApi
from mms.http.apis.openai import OpenAiApi
from mms.http.apis.plugin_loading import find_endpoints
from mms.http.apis.plugins import INFERENCE, MANAGEMENT, Plugins
from mms.http.apis.sagemaker import ExecutionParameters, SageMakerPing
from mms.http.console.console_api import ConsoleApi
from mms.http.console.docs_api import docs_routes
from mms.http.families import families_of
from mms.http.interface_api import InterfaceApi, interface_apis
from mms.http.pages import PageRule
from mms.http.parameters import ParameterRule
from mms.http.routing import METRICS_ROLE, Route
from mms.http.web.live_stream import LiveStreams
from mms.http.web.middlewares import (
    answer_preflights,
    key_check,
    page_check,
    size_check,
)
from mms.http.web.request import RequestState, state_of
from mms.http.web.response import respond
from mms.interfaces import INTERFACES
from mms.limits.inflating import Inflater
from mms.limits.memory import MemoryLimit
from mms.security import Access, is_loopback

if TYPE_CHECKING:
    from mms.observe import FrontCount, Recorder
    from mms.serving import ModelHost
    from mms.settings import Settings


#: Clients that follow something at once.
_MOST_LIVE_STREAMS: Final = 64


class Apis(Flag):
    """What a listener serves."""

    INFERENCE = auto()
    MANAGEMENT = auto()
    #: One interface alone, or with management beside it.
    INTERFACE = auto()
    METRICS = auto()


class HttpApis:
    """One of each API, for all listeners."""

    def __init__(
        self,
        settings: Settings,
        host: ModelHost,
        recorder: Recorder,
        scrape: Callable[[str | None], Awaitable[tuple[str, bytes]]],
        *,
        worker_count: int,
        access: Access | None,
        memory: MemoryLimit,
        inflater: Inflater,
        front_counts: Callable[[], Sequence[FrontCount]] = list,
    ) -> None:
        """As `HttpFront`."""
        self.memory = memory
        self.inflater = inflater
        self.settings = settings
        self.access = access
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
        self.page_rule = PageRule(
            settings.cors_allowed_origin,
            settings.management_address,
            # Others cannot lead a browser to a Unix socket, nor past keys; a wider address has names of its own.
            hosts=(settings.management_hosts or ())
            if is_loopback(settings.management_address)
            and settings.management_address.scheme != "unix"
            and (access is None or access.guard is None)
            else None,
        )
        asker = ModelAsker(
            host,
            max_body_bytes=settings.max_request_size,
            body_timeout_s=settings.body_timeout_s,
        )
        self.health = HealthApi(host)
        self.inference = InferenceApi(host, asker, is_strict_ping=settings.strict_ping)
        self.openai = OpenAiApi(host, asker, max_response_bytes=settings.max_response_size)
        self.interfaces = interface_apis(settings, host, asker)
        if access is not None and access.guard is not None:
            for interface in self.interfaces.values():
                interface.use_guard(access.guard)
        rule = ParameterRule(is_strict=settings.strict_parameters)
        self.management = ManagementApi(
            host,
            rule,
            max_body_bytes=settings.max_request_size,
            body_timeout_s=settings.body_timeout_s,
        )
        self.live_streams = LiveStreams(_MOST_LIVE_STREAMS, self._may_go_on)
        self.model_logs = ModelLogApi(host, recorder.model_lines, self.live_streams, rule)
        self.model_samples = ModelSampleApi(
            host, self.live_streams, rule, is_allowed=settings.sample_requests
        )
        guard = access.guard if access is not None else None
        self.console = ConsoleApi(host, recorder, asker, self.live_streams, guard, front_counts)
        self.plugins = Plugins(
            find_endpoints(settings.plugins_path), settings, host, rule, worker_count=worker_count
        )
        if settings.has_sagemaker_config:
            ping = SageMakerPing(settings.default_service_handler, host.is_anything_loaded)
            self.plugins.add_missing(ping)
            self.plugins.add_missing(ExecutionParameters(worker_count, settings.max_request_size))

    def __repr__(self) -> str:
        return f"<HttpApis of {self.host!r}>"

    def make_state(self, request: web.Request) -> RequestState:
        """Return what the server knows of a request from its begin."""
        return RequestState(
            request, self.inflater, trusts_request_id=self.settings.trust_request_id
        )

    def _may_go_on(self, request: web.Request) -> bool:
        """Return whether the key or session that a stream was begun with is valid still."""
        guard = self.access.guard if self.access is not None else None
        route = state_of(request).route
        if guard is None or guard.may(guard.find(request.raw_headers), route.roles):
            return True
        sessions = self.console.sessions if route.takes_session else None
        return sessions is not None and guard.may(sessions.find(request), route.roles)

    def middlewares(self, *, has_pages: bool) -> list[Middleware]:
        """Return what requests of a listener pass. `has_pages`: pages of a browser could manage models there."""
        settings = self.settings
        passed: list[Middleware] = []
        has_keys = self.access is not None and self.access.guard is not None
        if has_keys or settings.cors_allowed_origin is not None:
            passed.append(answer_preflights)
        if self.access is not None:
            passed.append(key_check(self.access, self.console.sessions))
        if has_pages:
            passed.append(page_check(self.page_rule))
        return [*passed, size_check(settings.max_request_size)]

    def routes(self, apis: Apis, owner: InterfaceApi | None = None) -> list[Route]:
        """The rows of a listener, in the order of their precedence. `owner`: the interface whose listener it is."""
        has_inference = Apis.INFERENCE in apis
        has_management = Apis.MANAGEMENT in apis
        metrics = self._metrics_routes() if apis & (Apis.MANAGEMENT | Apis.METRICS) else []
        routes: list[Route] = []
        if not has_inference and not has_management:
            routes += metrics
            if owner is not None:
                routes += owner.all_routes()
            elif metrics:
                routes += DescriptionApi(lambda: routes).routes()
            return routes
        descriptions = [*DescriptionApi(lambda: routes).routes(), *docs_routes()]
        health = self.health.routes()
        inference = self.inference.routes()
        management = [
            *self.model_logs.routes(),
            *self.model_samples.routes(),
            *self.management.routes(),
        ]
        if has_inference:
            routes += self.plugins.routes(INFERENCE)
            # The paths of the server that this one stands for are its own.
            stands_for = self.settings.stands_for
            interfaces = [
                api
                for _, api in sorted(
                    self.interfaces.items(), key=lambda each: each[0] != stands_for
                )
            ]
        else:
            interfaces = [owner] if owner is not None else []
        if has_management:
            descriptions = [
                *self.console.lead_browsers(descriptions),
                *self.console.routes(management),
            ]
            routes += self.plugins.routes(MANAGEMENT)
            for interface in self.interfaces.values():
                routes += interface.management_routes()
        routes += metrics
        if has_inference:
            routes += self.openai.routes()
        for interface in interfaces:
            routes += interface.shared_routes()
        for interface in interfaces:
            routes += interface.routes()
        routes += descriptions + health
        if has_inference:
            routes += inference
        if has_management:
            routes += management
        if has_inference:
            own = [*descriptions, *health, *inference, *management]
            routes += reserve(own, "metrics", "prometheus", ExecutionParameters.url_pattern)
            for interface in interfaces:
                routes += interface.routes_beside_others()
        return routes

    def _metrics_routes(self) -> list[Route]:
        more = [
            self.settings.get(interface.metrics_path_setting)
            for interface in INTERFACES
            if interface.metrics_path_setting
        ]
        described = {"/metrics": METRICS, "/prometheus": replace(METRICS, id="prometheus")}
        return [
            Route(
                ("GET", "HEAD"),
                path,
                self._metrics,
                METRICS_ROLE,
                operations=(described[path],) if path in described else (),
            )
            for path in dict.fromkeys((*described, *map(_pattern_of, more)))
        ]

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        content_type, body = await self._scrape(request.headers.get("Accept"))
        names = request.query.getall("name[]", [])
        if names:
            body = await asyncio.to_thread(families_of, body, frozenset(names))
        line = f"content-type: {content_type}\r\n".encode()
        return respond(200, None, line, body)


def _pattern_of(path: str) -> str:
    return "/" + "/".join(quote(segment, safe="") for segment in path.split("/") if segment)
