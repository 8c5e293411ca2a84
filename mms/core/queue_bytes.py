"""How much the bodies of queued requests may hold together."""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

from mms.core.priority_queue import PriorityQueue
from mms.core.request import Request

_Queue: TypeAlias = "deque[Request] | PriorityQueue"

#: After a refusal the queue is counted anew once it has lost this part: counting costs as much as it is long.
_SHRUNK = 16


class QueueBytes:
    """What a queue may still take. What leaves it is not told: it is counted when the room seems to be used up."""

    def __init__(self, limit_bytes: int) -> None:
        """`limit_bytes`: 0 is no limit."""
        self._limit_bytes = limit_bytes
        #: At least so much fits in. Whoever queues a body takes it off.
        self.room: float = 0 if limit_bytes else float("inf")
        #: The queue is as good as full while it is this long; 0: it was not when it was last counted.
        self._full_length = 0

    def __repr__(self) -> str:
        return f"<QueueBytes, {self.room} of {self._limit_bytes} left>"

    def is_full(self, queue: _Queue) -> bool:
        """Whether a body was refused, and the queue has not become shorter since."""
        return 0 < self._full_length <= len(queue)

    def has_room(self, size: int, queue: _Queue) -> bool:
        """Count anew. One body that is larger than the limit is taken where nothing waits."""
        if self.is_full(queue):
            return False
        length = len(queue)
        self.room = self._limit_bytes - sum(len(request.body) for request in queue)
        if size <= self.room or not length:
            self._full_length = 0
            return True
        self._full_length = length - length // _SHRUNK
        return False
