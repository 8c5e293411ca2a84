"""Requests that wait, by priority. A model's queue is a plain deque until a request asks for a class of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from mms.core.request import Request

HIGH: Final = 0
NORMAL: Final = 1
LOW: Final = 2

#: Turns of each class while all have requests: none waits for ever, whatever comes in the others.
_TURNS: Final = (HIGH, HIGH, NORMAL, HIGH, NORMAL, HIGH, HIGH, NORMAL, LOW)


class PriorityQueue:
    """The part of a deque that a model uses. `[0]` is what `popleft` gives next, `[-1]` what was appended last.

    What is put back at its left end comes before all classes. Weights: of nine turns high has five, normal three, low
    one; a class without requests gives its turn to the next one that has some.
    """

    def __init__(self, requests: Iterable[Request] = ()) -> None:
        self._back: deque[Request] = deque()
        self._classes: tuple[deque[Request], ...] = (deque(), deque(), deque())
        self._turn = 0
        self._last: Request | None = None
        for request in requests:
            self.append(request)

    def __repr__(self) -> str:
        sizes = ", ".join(str(len(members)) for members in self._classes)
        return f"<PriorityQueue {len(self._back)} put back, {sizes} by class>"

    def __len__(self) -> int:
        high, normal, low = self._classes
        return len(self._back) + len(high) + len(normal) + len(low)

    def __iter__(self) -> Iterator[Request]:
        """Yield the requests by class, not in the order of their turns."""
        yield from self._back
        for members in self._classes:
            yield from members

    def __getitem__(self, index: int) -> Request:
        if index == 0:
            return (self._back or self._classes[self._next_class()])[0]
        if index == -1 and self._last is not None:
            return self._last
        raise IndexError(index)

    def append(self, request: Request) -> None:
        self._last = request
        self._classes[request.priority].append(request)

    def appendleft(self, request: Request) -> None:
        self._back.appendleft(request)

    def extendleft(self, requests: Iterable[Request]) -> None:
        self._back.extendleft(requests)

    def popleft(self) -> Request:
        """Remove the request whose turn it is, and return it. Raises IndexError where there is none."""
        if self._back:
            return self._back.popleft()
        members = self._classes[self._next_class()]
        request = members.popleft()
        self._turn = (self._turn + 1) % len(_TURNS)
        return request

    def remove(self, request: Request) -> None:
        """Remove a request. Raises ValueError where it is not queued."""
        if request in self._back:
            self._back.remove(request)
        else:
            self._classes[request.priority].remove(request)

    def _next_class(self) -> int:
        classes = self._classes
        for step in range(len(_TURNS)):
            found = _TURNS[(self._turn + step) % len(_TURNS)]
            if classes[found]:
                return found
        raise IndexError("no request waits")
