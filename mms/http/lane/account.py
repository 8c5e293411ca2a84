"""What a connection of the lane holds in memory, and how fast its client takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from mms.http.lane.request import LaneRequest
from mms.http.streams.lane import LaneStream
from mms.limits.memory import MemoryAccount, MemoryLimit, Pace


class LaneAccount(MemoryAccount):
    """Counts bodies, answers that wait for earlier ones, and what the transport has not sent."""

    __slots__ = ("_body_pace", "_pace")

    def __init__(self, limit: MemoryLimit, on_room: Callable[[], None]) -> None:
        super().__init__(limit, on_room)
        #: Of a client that has not taken an answer at once.
        self._pace: Pace | None = None
        #: Of a client that has not sent a body at once, and when its request came; that would stay here with its body.
        self._body_pace: tuple[float, Pace] | None = None

    def count(
        self,
        transport: asyncio.WriteTransport,
        body_bytes: int,
        pipeline: Collection[LaneRequest],
    ) -> None:
        """`body_bytes`: of the one that is coming. `pipeline`: requests whose answers are not sent."""
        held = int(transport.get_write_buffer_size()) + body_bytes
        for request in pipeline:
            held += len(request.body)
            if request.answered is not None:
                held += sum(map(len, request.answered))
            elif isinstance(request.reply, LaneStream):
                held += request.reply.held_bytes
        self.note(held)

    def has_room_beside(self, pipeline: Collection[LaneRequest]) -> bool:
        """Return whether one more request may be read beside these: their answers will need room."""
        limit = self.limit
        if len(pipeline) < limit.free_requests and not self.held_bytes:
            return True
        expected = sum(
            limit.expected_answer(request.name) for request in pipeline if request.answered is None
        )
        if self.held_bytes + expected <= limit.each_bytes:
            return True
        limit.pauses += 1
        return False

    def is_client_too_slow(
        self, now: float, written_bytes: int, unsent_bytes: int, spare_s: float
    ) -> bool:
        """Return whether the client takes its answers too slowly. To be asked at intervals."""
        if not unsent_bytes:
            self._pace = None
            return False
        if self._pace is None:
            self._pace = Pace()
        return self._pace.is_too_slow(now, written_bytes - unsent_bytes, self.spare_s(spare_s))

    def is_body_too_slow(
        self, now: float, request: LaneRequest, filled_bytes: int, timeout_s: float
    ) -> bool:
        """Return whether the client sends the body of a request too slowly. To be asked at intervals."""
        if self._body_pace is None or self._body_pace[0] != request.received_at:
            self._body_pace = (request.received_at, Pace())
        return self._body_pace[1].is_too_slow(now, filled_bytes, self.spare_s(timeout_s))

    def restart_body(self) -> None:
        """The client may send on from now: it had to wait."""
        self._body_pace = None
