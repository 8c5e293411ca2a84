"""One generator that makes the chunks of all requests of a batch: each step gives a list with a chunk for each.

What clients have not taken yet is kept for them, within limits. One that stays behind them holds up the others, and so
loses its stream after a while.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from mms.worker.streams.stream import MOST_WAIT_S, NOT_NOW

#: What is kept for a client that does not take its chunks, in chunks and in bytes of text.
MOST_BEHIND = 256
_MOST_BEHIND_BYTES = 1024 * 1024


class SharedSteps:
    """Cuts the steps into a stream for each request. A client that has gone costs its own chunks alone."""

    def __init__(
        self,
        steps: Any,
        count: int,
        cut: Callable[[Any], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`cut`: ends the stream of one of the columns."""
        self._steps = steps
        self._cut = cut
        self._clock = clock
        #: Since when the others wait for those that are behind; 0: they do not.
        self._waits_since = 0.0
        self._columns = [_Column(self, place) for place in range(count)]
        self._count = count
        self._waiting: dict[int, deque[Any]] = {place: deque() for place in range(count)}
        self._waiting_bytes: dict[int, int] = dict.fromkeys(range(count), 0)
        self._is_done = False
        self._error: BaseException | None = None

    def columns(self) -> list[Iterator[Any]]:
        """Return the chunks of each request. NOT_NOW among them: others have to take theirs first."""
        return [*self._columns]

    def take(self, place: int) -> Any:
        """Return the next chunk of a request. Raises StopIteration, and what the steps raise."""
        own = self._waiting[place]
        while not own:
            if self._error is not None:
                raise self._error
            if self._is_done:
                raise StopIteration
            if self._is_held_up():
                return NOT_NOW
            self._step()
        chunk = own.popleft()
        self._waiting_bytes[place] -= _size_of(chunk)
        return chunk

    def _is_held_up(self) -> bool:
        """Return whether clients that are behind hold up the others. Those that do it for too long are cut."""
        behind = [
            place
            for place, waiting in self._waiting.items()
            if len(waiting) >= MOST_BEHIND or self._waiting_bytes[place] >= _MOST_BEHIND_BYTES
        ]
        now = self._clock()
        if not behind:
            self._waits_since = 0.0
        elif not self._waits_since:
            self._waits_since = now
        elif now - self._waits_since >= MOST_WAIT_S:
            for place in behind:
                self._cut(self._columns[place])
            self._waits_since = 0.0
            return False
        return bool(behind)

    def leave(self, place: int) -> None:
        """Nobody waits for the chunks of a request any more."""
        self._waiting.pop(place, None)
        self._waiting_bytes.pop(place, None)
        if not self._waiting:
            close = getattr(self._steps, "close", None)
            if callable(close):
                close()

    def _step(self) -> None:
        try:
            step = next(self._steps)
        except StopIteration:
            self._is_done = True
            return
        except BaseException as error:
            self._error = error
            return
        if isinstance(step, list) and len(step) == self._count:
            for place, waiting in self._waiting.items():
                if step[place] is not None:
                    waiting.append(step[place])
                    self._waiting_bytes[place] += _size_of(step[place])
        elif self._count == 1:
            self._waiting[0].append(step)
            self._waiting_bytes[0] += _size_of(step)
        else:
            came = f"a list of {len(step)}" if isinstance(step, list) else type(step).__name__
            self._error = TypeError(
                f"the entry point has yielded {came} for {self._count} requests; a list with a chunk for each is right"
            )


def _size_of(chunk: Any) -> int:
    return len(chunk) if isinstance(chunk, str | bytes) else 0


class _Column:
    def __init__(self, steps: SharedSteps, place: int) -> None:
        self._steps = steps
        self._place = place

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            chunk = self._steps.take(self._place)
        except BaseException:
            self._steps.leave(self._place)
            raise
        return chunk

    def close(self) -> None:
        self._steps.leave(self._place)
