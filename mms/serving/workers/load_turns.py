"""When a worker that nobody has asked for by number may load: the one place that admits such loads."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from mms.core import Worker
from mms.launch import LaunchFailed


class LoadNotWanted(Exception):
    """Whoever has asked for the load has gone while it waited."""


class LoadTurns:
    """Lets so many loads go on at once that requests or the server's own scaling have begun, in their order.

    Loads that a client, a start or a restart after a crash asks for do not wait, as one that hangs would then hold up
    models that have nothing to do with it.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._running = 0
        #: Those that wait, each for its future to be done.
        self._places: deque[asyncio.Future[None]] = deque()

    def __repr__(self) -> str:
        return f"<LoadTurns, {self._running} of {self._most}, {len(self._places)} waiting>"

    @asynccontextmanager
    async def turn(
        self, worker: Worker, timeout_s: float, is_wanted: Callable[[], bool]
    ) -> AsyncIterator[None]:
        """A load of a worker. `is_wanted` is asked once it has waited.

        Raises LaunchFailed where others have left it no turn within `timeout_s`, and LoadNotWanted.
        """
        has_waited = self._running >= self._most
        if not has_waited:
            self._running += 1
        else:
            loads = "1 load is" if self._most == 1 else f"{self._most} loads are"
            worker.reason = f"waits for its turn: {loads} under way (max_concurrent_loads)"
            await self._wait(timeout_s)
            worker.reason = ""
        try:
            if has_waited and not is_wanted():
                raise LoadNotWanted
            yield
        finally:
            self._pass_on()

    async def _wait(self, timeout_s: float) -> None:
        place = asyncio.get_running_loop().create_future()
        self._places.append(place)
        try:
            await asyncio.wait((place,), timeout=None if math.isinf(timeout_s) else timeout_s)
            if not place.done():
                raise LaunchFailed(
                    f"no turn to load within {timeout_s:g} seconds: {self._most} other loads were under way "
                    "(max_concurrent_loads)"
                )
        except BaseException:
            if place.done():
                # It was its turn when it was given up.
                self._pass_on()
            else:
                self._places.remove(place)
            raise

    def _pass_on(self) -> None:
        if self._places:
            self._places.popleft().set_result(None)
        else:
            self._running -= 1
