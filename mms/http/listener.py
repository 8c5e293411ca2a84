"""One listener of the server: which APIs it has, and the two sides that serve its connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from aiohttp import web

from mms.http.interface_api import InterfaceApi
from mms.http.lane.connection import LaneProtocol
from mms.http.lane.counted import CountedLaneProtocol
from mms.http.lane.front import LaneFront
from mms.http.listener_apis import Apis, HttpApis
from mms.http.routing import MANAGEMENT_ROLE, RouteTable
from mms.http.web.request import RequestState
from mms.http.web.server import WebServer
from mms.limits.connections import Refusal


class Listener:
    """One listener: the fast path where it has one, and the aiohttp side."""

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
        has_mms = bool(apis & (Apis.INFERENCE | Apis.MANAGEMENT))
        self._owner = None if has_mms else owner
        settings = shared.settings
        self.web = WebServer(
            self.table,
            self._make_state,
            shared.answers,
            shared.recorder.requests.append,
            shared.recorder.errors.note,
            shared.middlewares(
                has_pages=any(
                    route.roles == MANAGEMENT_ROLE or route.changes_server
                    for route in self.table.routes
                )
            ),
            keep_alive_timeout_s=settings.keep_alive_timeout_s,
            head_timeout_s=settings.head_timeout_s,
            body_timeout_s=settings.body_timeout_s,
            memory=shared.memory,
        )
        self.lane: LaneFront | None = None
        if apis & (Apis.INFERENCE | Apis.INTERFACE) and settings.lane:
            self.lane = self._make_lane()

    def __repr__(self) -> str:
        return f"<Listener {self.table!r}, {self.connection_count} connections>"

    def _make_lane(self) -> LaneFront:
        shared = self._shared
        settings = shared.settings
        access = shared.access
        # What the lane does about keys and rates; without them nothing, so that it costs nothing.
        options: dict[str, Any] = {"make_connection": LaneProtocol}
        if access is not None and access.guard is not None:
            options["admit"] = access.admit
        if access is not None and access.limit is not None:
            options["make_connection"] = partial(CountedLaneProtocol, access=access)
        return LaneFront(
            shared.host,
            shared.answers,
            shared.recorder.requests.append,
            shared.recorder.errors.note,
            self.web.make_protocol,
            self.table.fast_path,
            max_body_bytes=settings.max_request_size,
            keep_alive_timeout_s=settings.keep_alive_timeout_s,
            head_timeout_s=settings.head_timeout_s,
            body_timeout_s=settings.body_timeout_s,
            memory=shared.memory,
            trusts_request_ids=settings.trust_request_id,
            **options,
        )

    @property
    def connection_count(self) -> int:
        return len(self.web.connections) + (len(self.lane.connections) if self.lane else 0)

    async def start(self) -> None:
        """To be called before the first connection."""
        await self.web.start()

    def make_protocol(self) -> asyncio.Protocol:
        if self._is_full():
            return Refusal()
        if self.lane is not None:
            return self.lane.make_protocol()
        return self.web.make_protocol()

    def _make_state(self, request: web.Request) -> RequestState:
        state = self._shared.make_state(request)
        if self._owner is not None:
            state.error_form = self._owner.error_form
        return state
