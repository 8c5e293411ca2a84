"""One generator that makes the chunks of all requests of a batch: each step gives a list with a chunk for each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from mms.worker.streams.stream import NOT_NOW

#: Steps that the slowest client may be behind the fastest one, in chunks.
_MOST_BEHIND = 16


class SharedSteps:
    """Cuts the steps into a stream for each request. A client that has gone costs its own chunks alone."""

    def __init__(self, steps: Any, count: int) -> None:
        self._steps = steps
        self._count = count
        self._waiting: dict[int, deque[Any]] = {place: deque() for place in range(count)}
        self._is_done = False
        self._error: BaseException | None = None

    def columns(self) -> list[Iterator[Any]]:
        """Return the chunks of each request. NOT_NOW among them: others have to take theirs first."""
        return [_Column(self, place) for place in range(self._count)]

    def take(self, place: int) -> Any:
        """Return the next chunk of a request. Raises StopIteration, and what the steps raise."""
        own = self._waiting[place]
        while not own:
            if self._error is not None:
                raise self._error
            if self._is_done:
                raise StopIteration
            if any(len(others) >= _MOST_BEHIND for others in self._waiting.values()):
                return NOT_NOW
            self._step()
        return own.popleft()

    def leave(self, place: int) -> None:
        """Nobody waits for the chunks of a request any more."""
        self._waiting.pop(place, None)
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
        elif self._count == 1:
            self._waiting[0].append(step)
        else:
            came = f"a list of {len(step)}" if isinstance(step, list) else type(step).__name__
            self._error = TypeError(
                f"the entry point has yielded {came} for {self._count} requests; a list with a chunk for each is right"
            )


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
