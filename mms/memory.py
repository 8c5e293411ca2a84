"""What connections hold of requests and answers in memory, and how much that may be.

A connection says how many bytes it holds; over the limits it reads nothing more, until its client or the models have
taken some of it. All listeners, of HTTP and gRPC, share one `MemoryLimit`. Sizes are in bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from mms.errors import ServiceUnavailable

#: What a client has to take of its answers, or send of its requests, on the average, in bytes a second.
MIN_RATE = 16 * 1024
#: Models whose largest answer is remembered.
_MAX_MODELS = 10_000


class NoMemory(ServiceUnavailable):
    """The rest of a request was not read, as the connections of all clients hold too much."""

    def __init__(self) -> None:
        super().__init__(
            "The server's memory for requests and answers is full (max_buffered_memory).",
            retry_after_s=1,
        )


class MemorySettings(Protocol):
    """The settings of these names."""

    max_connection_memory: int
    max_buffered_memory: int
    max_response_size: int


class MemoryLimit:
    """The limits, what all connections hold together, and how large the answers of models are. For one event loop."""

    def __init__(self, each_bytes: int, all_bytes: int, max_answer_bytes: int) -> None:
        """`each_bytes`: for a connection; one request with its answer may always be more. `max_answer_bytes`: what
        the answer of a model may be that has given none yet."""
        self.each_bytes = each_bytes
        self.all_bytes = all_bytes
        self.held_bytes = 0
        #: How often a connection was not read from for its own limit, and for that of all.
        self.pauses = 0
        self.pauses_of_all = 0
        self.holders: set[MemoryAccount] = set()
        self.waiting: dict[MemoryAccount, None] = {}
        #: The one that is read from nevertheless, until it holds less: else those that hold all there is, all of them
        #: waiting for the rest of a request, would wait for each other.
        self.first: MemoryAccount | None = None
        #: Requests under way on a connection that need no closer look, whatever their answers are.
        self.free_requests = max(1, each_bytes // max(max_answer_bytes, 1))
        self._max_answer_bytes = max_answer_bytes
        self._largest: dict[str, int] = {}

    @classmethod
    def of_settings(cls, settings: MemorySettings) -> MemoryLimit:
        return cls(
            settings.max_connection_memory, settings.max_buffered_memory, settings.max_response_size
        )

    def __repr__(self) -> str:
        return (
            f"<MemoryLimit, {self.held_bytes} of {self.all_bytes} bytes, {len(self.waiting)} wait>"
        )

    def expected_answer(self, model: str) -> int:
        """What an answer of this model may come to: its largest so far."""
        return self._largest.get(model, self._max_answer_bytes)

    def note_answer(self, model: str, size: int) -> None:
        """A model has given an answer of this size."""
        if size > self._largest.get(model, -1):
            if len(self._largest) >= _MAX_MODELS:
                self._largest.clear()
            self._largest[model] = size

    def is_exceeded_by(self, held_bytes: int) -> bool:
        """Whether all hold too much, and one with so much more than its share of what there is.

        Whoever holds less goes on, so that a few who hold all there is are no harm to others.
        """
        if self.held_bytes <= self.all_bytes:
            return False
        return held_bytes * max(len(self.holders), 1) > self.all_bytes

    def tell_waiting(self) -> None:
        """Some memory is free again."""
        for account in list(self.waiting):
            if self.first is None or not self.is_exceeded_by(account.held_bytes):
                self.waiting.pop(account, None)
                account.on_room()


class MemoryAccount:
    """What one connection holds."""

    __slots__ = ("held_bytes", "limit", "on_room")

    def __init__(self, limit: MemoryLimit, on_room: Callable[[], None]) -> None:
        """`on_room`: called once after it must wait."""
        self.limit = limit
        self.held_bytes = 0
        self.on_room = on_room

    def __repr__(self) -> str:
        return f"<MemoryAccount {self.held_bytes} bytes>"

    def note(self, held_bytes: int) -> None:
        """The connection holds so much now."""
        limit = self.limit
        less = self.held_bytes - held_bytes
        self.held_bytes = held_bytes
        limit.held_bytes -= less
        if held_bytes:
            limit.holders.add(self)
        else:
            limit.holders.discard(self)
        if less > 0:
            if limit.first is self:
                limit.first = None
            if limit.waiting:
                limit.tell_waiting()

    def close(self) -> None:
        """The connection has ended."""
        self.limit.waiting.pop(self, None)
        self.note(0)
        if self.limit.first is self:
            self.limit.first = None
            self.limit.tell_waiting()

    def has_room_for(self, size: int) -> bool:
        """Whether it may hold so much more."""
        limit = self.limit
        return self.held_bytes + size <= limit.each_bytes and not limit.is_exceeded_by(
            self.held_bytes
        )

    @property
    def is_waiting(self) -> bool:
        """It has not been told yet that there is room."""
        return self in self.limit.waiting

    def must_wait(self) -> bool:
        """Whether no more may be read of what has begun: all hold too much, and this one more than its share.

        `on_room` is called when that may be different.
        """
        limit = self.limit
        if limit.first is self or not limit.is_exceeded_by(self.held_bytes):
            return False
        if limit.first is None:
            limit.first = self
            return False
        if not self.is_waiting:
            limit.pauses_of_all += 1
            limit.waiting[self] = None
        return True


class WaitingAccount(MemoryAccount):
    """What a connection holds that is read by a coroutine."""

    __slots__ = ("_has_room",)

    def __init__(self, limit: MemoryLimit) -> None:
        super().__init__(limit, self._tell)
        self._has_room: asyncio.Future[None] | None = None

    def _tell(self) -> None:
        if self._has_room is not None and not self._has_room.done():
            self._has_room.set_result(None)

    async def take(self, held_bytes: int, timeout_s: float) -> None:
        """The connection holds so much now; wait where that is more than it may. Raises NoMemory."""
        self.note(held_bytes)
        while self.must_wait():
            self._has_room = asyncio.get_running_loop().create_future()
            try:
                await asyncio.wait_for(self._has_room, timeout_s)
            except asyncio.TimeoutError:
                raise NoMemory from None


class Pace:
    """Whether a client takes what waits for it at MIN_RATE on the average, with some time to spare."""

    __slots__ = ("_looked_at", "_spare_s", "_taken_bytes")

    def __init__(self) -> None:
        #: When `is_too_slow` was asked last, of `time.monotonic()`; 0: nothing waited then.
        self._looked_at = 0.0
        self._spare_s = 0.0
        self._taken_bytes = 0

    def __repr__(self) -> str:
        return f"<Pace, {self._spare_s:g} s to spare>"

    def rest(self) -> None:
        """Nothing waits for the client."""
        self._looked_at = 0.0

    def is_too_slow(self, now: float, taken_bytes: int, spare_s: float) -> bool:
        """To be asked at intervals while something waits. `taken_bytes`: of all so far."""
        if not self._looked_at:
            self._spare_s = spare_s
        else:
            earned_s = (taken_bytes - self._taken_bytes) / MIN_RATE
            self._spare_s = min(self._spare_s + earned_s - (now - self._looked_at), spare_s)
        self._looked_at = now
        self._taken_bytes = taken_bytes
        return self._spare_s < 0
