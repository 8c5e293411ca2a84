"""What all connections of the lane share: routes, limits, answers, and the one timer that watches over them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol

from mms import faults
from mms.core import Request
from mms.http.answers import Answers
from mms.http.lane.head import KnownRoute, LaneHead, LaneRoute, read_head
from mms.limits.connection_sweep import ConnectionSweep
from mms.limits.memory import MemoryLimit
from mms.observe.recent_errors import NoteError

#: Paths whose routes are remembered. Clients choose paths, so there must be a limit; models are fewer.
_MAX_ROUTES = 4096
#: Heads that are remembered, and how long one may be: clients choose them, too. Together at most about 4 MiB.
_MAX_HEADS = 1024
_MAX_HEAD_BYTES = 2048
#: After an answer that ends a connection, how long what the client still sends is read and thrown away, in seconds:
#: closing with unread bytes would reset the connection and could take the answer away from the client.
LINGER_S = 2.0


class Submitter(Protocol):
    """Takes requests; the model host."""

    def submit(self, request: Request) -> None: ...

    def dispatch_due(self) -> None:
        """Nothing can join what was submitted in this turn of the event loop."""

    def cancel(self, request: Request) -> None: ...


class LaneConnection(Protocol):
    """A connection as the front sees it. No base class: methods with decorators could not take its methods' places."""

    def check_time(self, now: float) -> None:
        """Close or refuse it where its client has kept it waiting for too long."""

    def forget_head(self) -> None:
        """Paths may stand for something else now."""

    def leave(self, quiet_since: float) -> None:
        """The server stops: the last answer that is owed ends it. Close it where nothing came since then."""

    def close(self) -> None:
        """Close where nothing is owed; else after the last answer."""

    def abort(self) -> None:
        """Close at once, whatever is owed."""


class LaneFront:
    """Owner of the lane's connections. Times in seconds, sizes in bytes."""

    def __init__(
        self,
        host: Submitter,
        answers: Answers,
        record: Callable[[tuple[Any, ...]], None],
        note_error: NoteError,
        make_handler: Callable[[], asyncio.Protocol],
        find_route: Callable[[bytes], LaneRoute | None],
        *,
        max_body_bytes: int,
        keep_alive_timeout_s: float,
        head_timeout_s: float,
        body_timeout_s: float,
        memory: MemoryLimit,
        trusts_request_ids: bool = False,
        admit: Callable[[list[bytes]], str | None] | None = None,
        make_connection: Callable[[LaneFront], asyncio.Protocol],
    ) -> None:
        self.host = host
        self.answers = answers
        self.record = record
        self.note_error = note_error
        self.make_handler = make_handler
        self.max_body_bytes = max_body_bytes
        self.keep_alive_timeout_s = keep_alive_timeout_s
        self.head_timeout_s = head_timeout_s
        self.body_timeout_s = body_timeout_s
        self.memory = memory
        self.trusts_request_ids = trusts_request_ids
        self.admit = admit
        self._make_connection = make_connection
        self.routes: dict[bytes, KnownRoute] = {}
        self.heads: dict[bytes, LaneHead] = {}
        self.connections: set[LaneConnection] = set()
        #: Set while there are no connections, once `close_idle` was called.
        self.is_empty = asyncio.Event()
        self._is_closing = False
        self._find_route = find_route
        self._lingering: dict[LaneConnection, float] = {}
        self._sweep = ConnectionSweep(self.connections, self._end_lingering)

    def __repr__(self) -> str:
        return f"<LaneFront {len(self.connections)} connections>"

    def make_protocol(self) -> asyncio.Protocol:
        """Return the protocol of a new connection."""
        self._sweep.start()
        return self._make_connection(self)

    def resolve(self, path: bytes) -> KnownRoute:
        """Return the route of a path that was not asked for lately."""
        found = self._find_route(path)
        route: KnownRoute = (found, path.decode("latin-1")) if found else None
        if len(self.routes) >= _MAX_ROUTES:
            self.routes.clear()
        self.routes[path] = route
        return route

    def learn(self, raw: bytes) -> LaneHead | None:
        """Return what a head says that was not seen lately; None for one that the lane does not serve."""
        head = read_head(raw, self)
        if head is not None and len(raw) <= _MAX_HEAD_BYTES:
            if len(self.heads) >= _MAX_HEADS:
                self.heads.clear()
            self.heads[raw] = head
        return head

    def forget_routes(self) -> None:
        """Paths may stand for something else from now on."""
        self.routes.clear()
        self.heads.clear()
        for connection in self.connections:
            connection.forget_head()

    def linger(self, connection: LaneConnection) -> None:
        """End this connection when its client does, or after a while."""
        self._lingering[connection] = time.monotonic() + LINGER_S

    def add(self, connection: LaneConnection) -> None:
        """A connection has begun."""
        self.connections.add(connection)

    def forget(self, connection: LaneConnection) -> None:
        """The connection has ended, or is served by another protocol from now on."""
        self.connections.discard(connection)
        if self._is_closing and not self.connections:
            self.is_empty.set()

    def leave(self, quiet_since: float) -> None:
        """The server stops: answers say so from now on. Connections that were quiet since then end at once."""
        for connection in list(self.connections):
            connection.leave(quiet_since)

    def close_idle(self) -> None:
        """The server stops: connections without a request end now, others after their last answer."""
        self._is_closing = True
        if not self.connections:
            self.is_empty.set()
        for connection in list(self.connections):
            connection.close()

    def close(self) -> None:
        self._sweep.stop()
        for connection in list(self.connections):
            connection.abort()

    def _end_lingering(self, now: float) -> None:
        for connection, until in list(self._lingering.items()):
            if connection not in self.connections:
                del self._lingering[connection]
            elif until <= now:
                del self._lingering[connection]
                with faults.contained("connection"):
                    connection.abort()
