"""One producer of snapshots for all who look: it runs while somebody does, and keeps the newest one alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator

from mms import faults

#: Between two snapshots, in seconds.
INTERVAL_S = 1.0


class LiveFeed:
    """Makes a snapshot each interval while it is watched. Called on the event loop."""

    def __init__(
        self, make: Callable[[], Awaitable[bytes]], *, interval_s: float = INTERVAL_S
    ) -> None:
        self._make = make
        self._interval_s = interval_s
        #: What those who look have called when there is a new one. Each has its own.
        self._wakes: dict[object, Callable[[], None]] = {}
        self._task: asyncio.Task[None] | None = None
        self.newest: bytes | None = None
        #: How many snapshots there have been.
        self.number = 0

    def __repr__(self) -> str:
        return f"<LiveFeed of {len(self._wakes)} viewers>"

    @property
    def is_running(self) -> bool:
        """Whether snapshots are being made."""
        return self._task is not None

    @contextlib.contextmanager
    def watched(self, wake: Callable[[], None]) -> Iterator[None]:
        """Have `wake` called for each new snapshot, within the block."""
        viewer = object()
        self._wakes[viewer] = wake
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        try:
            yield
        finally:
            del self._wakes[viewer]
            if not self._wakes:
                self._task.cancel()
                self._task = self.newest = None

    async def _run(self) -> None:
        while True:
            with faults.contained("console"):
                self.newest = await self._make()
                self.number += 1
                for wake in self._wakes.values():
                    wake()
            await asyncio.sleep(self._interval_s)
