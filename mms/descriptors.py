"""How many files and connections this process may have open."""

from __future__ import annotations

import logging
import resource
import time
from collections.abc import Callable

#: Connections are refused by listeners of HTTP and gRPC alike.
logger = logging.getLogger("mms.http")

#: Between two lines about refused connections, in seconds.
_TELL_S = 10.0
_MOST_SPARE = 32


def raise_descriptor_limit() -> int:
    """Take as many file descriptors as the process may give itself. Returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            # macOS has a lower bound of its own than the one that it tells.
            return soft
    return hard


def connections_for(descriptors: int) -> int:
    """How many clients may be connected, so that there is room for workers, logs and archives, too."""
    return descriptors * 3 // 4


class ConnectionLimit:
    """How many connections all listeners may have together. Called on the event loop."""

    def __init__(self, most: int) -> None:
        self.most = most
        #: Connections that no protocol has yet, as their handshake is under way.
        self.handshakes: set[object] = set()
        self._counts: list[Callable[[], int]] = []
        self._told_at = float("-inf")

    def __repr__(self) -> str:
        return f"<ConnectionLimit {self.count()} of {self.most}>"

    def add(self, count: Callable[[], int]) -> None:
        """`count`: the open connections of a front."""
        self._counts.append(count)

    def count(self) -> int:
        return sum(count() for count in self._counts) + len(self.handshakes)

    def is_full(self, *, has_spare: bool = False) -> bool:
        """Whether there are as many as may be; the log says so now and then.

        `has_spare`: a few more may, for operators while clients have taken all.
        """
        count = self.count()
        if count < self.most + (min(_MOST_SPARE, self.most // 8) if has_spare else 0):
            return False
        now = time.monotonic()
        if now - self._told_at > _TELL_S:
            self._told_at = now
            logger.warning("Refusing connections: there are max_connections=%d.", count)
        return True
