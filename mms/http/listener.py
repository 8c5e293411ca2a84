"""One listener of the server: which APIs it has, and where each request goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

from mms import faults
from mms.errors import InternalServerError, MethodNotAllowed, ServerError, UnexpectedError
from mms.http.access import check_key, check_page
from mms.http.exchange import Exchange
from mms.http.framing import MAX_HEADERS_BYTES, MAX_LINE_BYTES
from mms.http.interface_api import InterfaceApi
from mms.http.lane.counted import CountedLaneProtocol
from mms.http.lane.front import LaneFront
from mms.http.listener_apis import Apis, HttpApis
from mms.http.protocol import EdgeServer
from mms.http.routing import Match, RouteTable
from mms.limits.connections import Refusal
from mms.security import Access


class Listener:
    """One listener: which APIs it has, and the edge of its connections."""

    def __init__(
        self,
        shared: HttpApis,
        apis: Apis,
        is_full: Callable[[], bool],
        owner: InterfaceApi | None = None,
    ) -> None:
        """`owner`: the interface whose listener it is."""
        self._shared = shared
        self._is_full = is_full
        self.table = RouteTable(shared.routes(apis, owner))
        self._has_management = Apis.MANAGEMENT in apis
        has_mms = bool(apis & (Apis.INFERENCE | Apis.MANAGEMENT))
        self._owner = None if has_mms else owner
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
        if apis & (Apis.INFERENCE | Apis.INTERFACE) and settings.lane:
            self.lane = LaneFront(
                shared.host,
                shared.answers,
                shared.recorder.requests.append,
                self.edge.make_protocol,
                self.table.fast_path,
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

    def _make_exchange(self, request: web.BaseRequest) -> Exchange:
        exchange = self._shared.make_exchange(request)
        if self._owner is not None:
            exchange.error_form = self._owner.error_form
        return exchange

    async def serve(self, exchange: Exchange) -> web.StreamResponse:
        """The response of any request; errors are responses, too."""
        shared = self._shared
        try:
            found = self.table.match(exchange.path, exchange.method)
            if found.route.leads_on is not None:
                found = found.route.leads_on(exchange, found)
            route, match = found
            exchange.match = match
            if route.answer_form is not None:
                route.answer_form(exchange)
            if (
                self._answers_preflights
                and _is_preflight(exchange)
                and not route.answers_preflights
            ):
                return exchange.respond(200, None, _allow_line(match), b"")
            if shared.access is not None:
                check_key(shared.access, exchange, route)
            if self._has_management:
                check_page(shared.page_rule, exchange, route)
            exchange.check_head(shared.settings.max_request_size)
            if not match.is_served:
                raise MethodNotAllowed(allowed=match.allowed)
            return await route.handler(exchange)
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


def _lane_options(access: Access | None) -> dict[str, Any]:
    """What the lane does about keys and rates; without them nothing, so that it costs nothing."""
    options: dict[str, Any] = {}
    if access is not None and access.guard is not None:
        options["admit"] = access.admit
    if access is not None and access.limit is not None:
        options["make_connection"] = lambda lane: CountedLaneProtocol(lane, access)
    return options


def _is_preflight(exchange: Exchange) -> bool:
    """A browser asks whether a page may send a request: it cannot show the page's key, and learns the CORS headers."""
    return (
        exchange.method == "OPTIONS" and "Access-Control-Request-Method" in exchange.request.headers
    )


def _allow_line(match: Match) -> bytes:
    return f"Allow: {match.allowed}\r\n".encode() if match.allowed else b""


class _OutOfMemory(InternalServerError):
    status = 507

    def __init__(self) -> None:
        super().__init__("Out of resources")
