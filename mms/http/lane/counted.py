"""Connections of the lane whose clients are counted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mms.errors import TooManyRequests
from mms.http.lane.connection import LaneProtocol
from mms.limits.connections import remote_name
from mms.security import client_of

if TYPE_CHECKING:
    from mms.http.lane.front import LaneFront
    from mms.http.lane.request import LaneRequest
    from mms.security import Access


class CountedLaneProtocol(LaneProtocol):
    """A connection of the lane whose client may send so many requests a second."""

    __slots__ = ("_access", "_client")

    def __init__(self, lane: LaneFront, access: Access) -> None:
        super().__init__(lane)
        self._access = access
        self._client = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._client = client_of(remote_name(transport))
        super().connection_made(transport)

    def _submit(self, request: LaneRequest) -> None:
        try:
            self._access.take(request.lane_head.client or self._client)
        except TooManyRequests as error:
            # Nobody has looked whether there is such a model.
            request.is_known = False
            request.fail(error)
            return
        super()._submit(request)
