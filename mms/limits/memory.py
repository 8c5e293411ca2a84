"""What connections hold of requests and answers in memory, and how much that may be.

A connection says how many bytes it holds; over the limits it reads nothing more, until its client or the models have
taken some of it. All listeners, of HTTP and gRPC, share one `MemoryLimit`. Sizes are in bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from mms.errors import ServiceUnavailable
from mms.processes import heap

#: What a client has to take of its answers, or send of its requests, on the average, in bytes a second.
MIN_RATE = 16 * 1024
#: How far a client may fall behind that while others have to wait for memory, in seconds.
PRESSED_S = 10.0
#: What a connection may hold and count as a small one, in bytes.
SMALL_BYTES = 128 * 1024
#: How often a client that sends nothing is looked at, in seconds.
_LOOK_S = 1.0
#: What has to be held no more before the system gets free memory back, in bytes, and for how many looks.
_FREED_BYTES: Final = 32 << 20
_QUIET_LOOKS: Final = 5
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
    """The limits, what all connections hold together, and how large the answers of models are. For one event loop.

    Room is asked for before more is read. Without room a connection waits until there is some; but for one
    at a time, since those that hold all there is may each need the rest of a request before they give anything back.
    Large ones have to leave an eighth of the memory to small ones, so that these need not wait for them.
    """

    def __init__(self, each_bytes: int, all_bytes: int, max_answer_bytes: int) -> None:
        """`each_bytes`: for a connection; one request with its answer may always be more. `max_answer_bytes`: what
        the answer of a model may be that has given none yet."""
        self.each_bytes = each_bytes
        self.all_bytes = all_bytes
        #: What the large ones may fill.
        self.large_bytes = all_bytes - all_bytes // 8
        self.held_bytes = 0
        #: The most since the last look of `give_back`; the most before that may still be the process's, and since how
        #: many looks it need not be.
        self.most_bytes = 0
        self._kept_bytes = 0
        self._quiet_looks = 0
        self._keeps_freed = False
        #: How often a connection was not read from for its own limit, and for that of all.
        self.pauses = 0
        self.pauses_of_all = 0
        #: What they wait for, in bytes, in the order of their coming: large ones and small ones.
        self._large: dict[MemoryAccount, int] = {}
        self._small: dict[MemoryAccount, int] = {}
        #: The one that is read from nevertheless, until it holds less.
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
        return f"<MemoryLimit, {self.held_bytes} of {self.all_bytes} bytes, {self.waiting} wait>"

    @property
    def waiting(self) -> int:
        """How many connections wait for room."""
        return len(self._large) + len(self._small)

    def is_waiting(self, account: MemoryAccount) -> bool:
        return account in self._large or account in self._small

    def expected_answer(self, model: str) -> int:
        """Return what an answer of this model may come to: its largest so far."""
        return self._largest.get(model, self._max_answer_bytes)

    def note_answer(self, model: str, size: int) -> None:
        """A model has given an answer of this size."""
        if size > self._largest.get(model, -1):
            if len(self._largest) >= _MAX_MODELS:
                self._largest.clear()
            self._largest[model] = size

    def has_room(self, held_bytes: int, more_bytes: int) -> bool:
        """Return whether a connection that holds so much may hold so much more."""
        all_held = self.held_bytes + more_bytes
        if held_bytes + more_bytes > SMALL_BYTES:
            return all_held <= self.large_bytes
        if self.first is not None:
            # It may be beyond the limit, which is no harm to small ones.
            all_held -= self.first.held_bytes
        return all_held <= self.all_bytes

    def add_waiting(self, account: MemoryAccount, more_bytes: int) -> None:
        is_small = account.held_bytes + more_bytes <= SMALL_BYTES
        waiting = self._small if is_small else self._large
        if account not in waiting:
            self.pauses_of_all += 1
            waiting[account] = more_bytes

    def forget(self, account: MemoryAccount) -> None:
        """It does not wait any more."""
        self._large.pop(account, None)
        self._small.pop(account, None)

    def give_back(self) -> None:
        """Give memory back to the system that connections held some seconds ago. To be called every second.

        Not at once, as the same clients may be about to send as much again: from the first large body on it is kept.
        """
        most, self.most_bytes = self.most_bytes, self.held_bytes
        if most > SMALL_BYTES and not self._keeps_freed:
            self._keeps_freed = True
            asyncio.get_running_loop().run_in_executor(None, heap.keep_freed)
        if most + _FREED_BYTES > self._kept_bytes:
            self._kept_bytes = max(self._kept_bytes, most)
            self._quiet_looks = 0
            return
        self._quiet_looks += 1
        if self._quiet_looks >= _QUIET_LOOKS:
            self._kept_bytes = most
            self._quiet_looks = 0
            asyncio.get_running_loop().run_in_executor(None, heap.trim)

    def tell_waiting(self) -> None:
        """Some memory is free again."""
        for waiting in (self._small, self._large):
            for account, more_bytes in list(waiting.items()):
                if account not in waiting:
                    continue
                if not self.has_room(account.held_bytes, more_bytes):
                    if self.first is not None:
                        break
                    self.first = account
                del waiting[account]
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
        if limit.held_bytes > limit.most_bytes:
            limit.most_bytes = limit.held_bytes
        if less > 0:
            if limit.first is self:
                limit.first = None
            if limit.waiting:
                limit.tell_waiting()

    def close(self) -> None:
        """The connection has ended."""
        self.limit.forget(self)
        self.note(0)
        self.stop_waiting()

    def stop_waiting(self) -> None:
        """It asks for no more room."""
        limit = self.limit
        limit.forget(self)
        if limit.first is self:
            limit.first = None
            limit.tell_waiting()

    @property
    def is_waiting(self) -> bool:
        """Whether the connection still waits for room."""
        return self.limit.is_waiting(self)

    def must_wait(self, more_bytes: int = 0) -> bool:
        """Return whether so much more may not be read now, of what has begun.

        `on_room` is called when that may be different.
        """
        limit = self.limit
        if limit.first is self or limit.has_room(self.held_bytes, more_bytes):
            return False
        if not more_bytes and self.held_bytes <= SMALL_BYTES:
            # There is nothing to wait with: what comes next is to be looked at first.
            return False
        if limit.first is None:
            limit.first = self
            limit.forget(self)
            return False
        limit.add_waiting(self, more_bytes)
        return True

    def spare_s(self, usual_s: float) -> float:
        """How long a client may fall behind its rate, in seconds: shorter while others wait for what this one holds."""
        return min(usual_s, PRESSED_S) if self.limit.waiting else usual_s


class WaitingAccount(MemoryAccount):
    """What a connection holds that is read by a coroutine."""

    __slots__ = ("_has_room",)

    def __init__(self, limit: MemoryLimit) -> None:
        super().__init__(limit, self._tell)
        self._has_room: asyncio.Future[None] | None = None

    def _tell(self) -> None:
        if self._has_room is not None and not self._has_room.done():
            self._has_room.set_result(None)

    async def take(
        self, held_bytes: int, timeout_s: float, transport: asyncio.ReadTransport | None
    ) -> bool:
        """Wait until the connection may hold so much; return whether it had to wait.

        `transport`: not read meanwhile. Raises NoMemory.
        """
        until = time.monotonic() + timeout_s
        more_bytes = max(held_bytes - self.held_bytes, 0)
        must_wait = transport is not None and self.must_wait(more_bytes)
        if transport is not None and must_wait:
            transport.pause_reading()
            try:
                while self.must_wait(more_bytes):
                    self._has_room = asyncio.get_running_loop().create_future()
                    await asyncio.wait_for(self._has_room, until - time.monotonic())
            except BaseException as error:
                self.stop_waiting()
                if isinstance(error, asyncio.TimeoutError):
                    raise NoMemory from None
                raise
            finally:
                transport.resume_reading()
        self.note(held_bytes)
        return must_wait


async def read_at_pace(
    read: Callable[[], Awaitable[bytes]],
    account: MemoryAccount | None,
    pace: Pace,
    size: int,
    timeout_s: float,
) -> bytes:
    """Return what `read` gives, while the client is quick enough. Raises TimeoutError of asyncio's.

    `size`: of what has come. `timeout_s`: what the client may fall behind its rate.
    """
    while True:
        spare_s = timeout_s if account is None else account.spare_s(timeout_s)
        if pace.is_too_slow(time.monotonic(), size, spare_s):
            raise asyncio.TimeoutError
        with contextlib.suppress(asyncio.TimeoutError):
            return await asyncio.wait_for(read(), min(_LOOK_S, timeout_s))


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
