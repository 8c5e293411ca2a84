"""What listeners of HTTP and gRPC have in common: how many connections there may be, and who is at their other ends."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

#: Connections are refused by listeners of HTTP and gRPC alike.
logger = logging.getLogger("mms.http")

#: Between two lines about refused connections, in seconds.
_TELL_S = 10.0
_MOST_SPARE = 32
#: What a client that may be gone is sent while it is owed answers, and the seconds before each: most answers are there
#: sooner. The end of what a client sends looks the same whether it waits for answers or is gone; whoever is there takes
#: it, and where nobody is, the first write brings a reset and the next one fails.
MAX_PROBES = 3
PROBE_S = 0.2
#: Turns of the loop after which it has taken and read all that had come before them. A process that was itself held up
#: finds its timers due, and its connections quiet, before it has looked at its sockets.
CATCHING_UP_TURNS = 4


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

    def room(self) -> int:
        """Return how many more there may be."""
        return max(self.most - self.count(), 0)

    def is_full(self, *, has_spare: bool = False) -> bool:
        """Return whether there are as many as may be; the log says so now and then.

        `has_spare`: a few more may, for operators while clients have taken all.
        """
        count = self.count()
        if count < self.most + (min(_MOST_SPARE, self.most // 8) if has_spare else 0):
            return False
        now = time.monotonic()
        if now - self._told_at > _TELL_S:
            self._told_at = now
            logger.warning(
                "Refusing connections: there are %d, as many as max_connections and the limit of open files "
                "(ulimit -n) allow.",
                count,
            )
        return True


async def catch_up() -> None:
    """Until the loop has read what had come before this call."""
    for _ in range(CATCHING_UP_TURNS):
        await asyncio.sleep(0)


class Refusal(asyncio.Protocol):
    """Ends a connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.abort()  # type: ignore[attr-defined]  # every transport of a stream has it


def remote_name(transport: asyncio.BaseTransport) -> str:
    """Return a client as the access log names it: `/127.0.0.1:64003`; `0.0.0.0` behind a Unix socket."""
    peer = transport.get_extra_info("peername")
    if not isinstance(peer, tuple):
        return "0.0.0.0"
    host, port = peer[:2]
    return f"/[{host}]:{port}" if ":" in host else f"/{host}:{port}"
