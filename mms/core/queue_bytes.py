"""How much the bodies of queued requests may hold together."""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

from mms.core.priority_queue import PriorityQueue
from mms.core.request import Request

_Queue: TypeAlias = "deque[Request] | PriorityQueue | dict[Request, None]"

#: After a refusal the queue is counted anew once it has lost this part: counting costs as much as it is long.
_SHRUNK = 16


class QueueBytes:
    """What a queue may still take. What leaves it is not told: it is counted when the room seems to be used up."""

    def __init__(self, limit_bytes: int) -> None:
        """`limit_bytes`: 0 is no limit."""
        self._limit_bytes = limit_bytes
        #: At least so much fits in. Whoever queues a body takes it off. Below 0 after a refusal.
        self.room: float = 0 if limit_bytes else float("inf")
        #: While it is this long, too little has left it since a refusal to count it anew; 0: nothing was refused.
        self._full_length = 0
        #: What fits in meanwhile.
        self._left = 0

    def __repr__(self) -> str:
        return f"<QueueBytes, {self._left if self._full_length else self.room} of {self._limit_bytes} left>"

    def is_full(self, queue: _Queue) -> bool:
        """Whether nothing was left when a body was refused or since, and the queue has not become shorter."""
        return self._left <= 0 < self._full_length <= len(queue)

    def has_room(self, size: int, queue: _Queue) -> bool:
        """Whether a body fits in for which `room` seems too small. One that is larger than the limit is taken alone.

        Whoever calls it queues the body if it does.
        """
        length = len(queue)
        if 0 < self._full_length <= length:
            if size > self._left:
                return False
            self._left -= size
            self._full_length += 1
            return True
        room = self._limit_bytes - sum(len(request.body) for request in queue)
        if size <= room or not length:
            self.room, self._full_length = room, 0
            return True
        # Every body is asked about from now on, so that none is queued uncounted.
        self._full_length, self._left, self.room = length - length // _SHRUNK, room, -1
        return False
