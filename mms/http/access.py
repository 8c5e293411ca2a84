"""Which role a path of MMS's APIs needs, and connections of the lane whose clients are counted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mms.connections import remote_name
from mms.errors import TooManyRequests
from mms.http.lane import LaneProtocol
from mms.http.routes import PROBES, find_prediction
from mms.security import Role, client_of

if TYPE_CHECKING:
    from mms.http.lane_owner import LaneOwner
    from mms.http.lane_request import LaneRequest
    from mms.security import Access

#: What anybody may ask.
OPEN: tuple[Role, ...] = ()
#: What needs a key, whichever.
ANY_ROLE = tuple(Role)
INFERENCE_ROLE = (Role.INFERENCE,)
MANAGEMENT_ROLE = (Role.MANAGEMENT,)
METRICS_ROLE = (Role.METRICS,)


def roles_of(
    segments: list[str], *, has_inference: bool, has_management: bool, is_metrics: bool
) -> tuple[Role, ...]:
    """The roles one of which a path needs, by the APIs of its listener. `is_metrics`: of the path of the metrics."""
    if len(segments) == 1 and segments[0] in PROBES:
        return OPEN
    if has_inference and find_prediction(segments) is not None:
        return INFERENCE_ROLE
    if is_metrics:
        return METRICS_ROLE
    if segments[:1] == ["models"]:
        if len(segments) in (3, 4) and segments[-1] == "ready":
            return ANY_ROLE
        return MANAGEMENT_ROLE if has_management else ANY_ROLE
    # Descriptions, and what is not there.
    return ANY_ROLE


class CountedLaneProtocol(LaneProtocol):
    """A connection of the lane whose client may send so many requests a second."""

    __slots__ = ("_access", "_client")

    def __init__(self, lane: LaneOwner, access: Access) -> None:
        super().__init__(lane)
        self._access = access
        self._client = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._client = client_of(remote_name(transport))
        super().connection_made(transport)

    def _submit(self, request: LaneRequest) -> None:
        try:
            self._access.take(request.head.client or self._client)
        except TooManyRequests as error:
            # Nobody has looked whether there is such a model.
            request.is_known = False
            request.fail(error)
            return
        super()._submit(request)
