"""The one timer of a listener, by which its connections notice clients that are too slow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Protocol

from mms import faults

#: How often connections look at the time, in seconds.
SWEEP_S = 1.0


class TimedConnection(Protocol):
    """A connection that ends itself when its client is too slow."""

    def check_time(self, now: float) -> None:
        """Look at the time, of `time.monotonic()`."""

    def abort(self) -> None:
        """End the connection at once."""


class ConnectionSweep:
    """Has connections look at the time, as long as there are any."""

    def __init__(
        self,
        connections: Collection[TimedConnection],
        after: Callable[[float], None] | None = None,
    ) -> None:
        """`connections`: those of the moment. `after`: what is to be done besides, given the time."""
        self._connections = connections
        self._after = after
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<ConnectionSweep{'' if self._timer is None else ', on'}>"

    def start(self) -> None:
        """Look from now on: a connection comes."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self._run)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run(self) -> None:
        self._timer = None
        now = time.monotonic()
        for connection in list(self._connections):
            try:
                connection.check_time(now)
            except Exception as error:
                faults.note("connection", error)
                with faults.contained("connection"):
                    connection.abort()
        if self._after is not None:
            with faults.contained("connection"):
                self._after(now)
        if self._connections:
            self.start()
