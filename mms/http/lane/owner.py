"""What a connection of the lane and its owner know of each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from mms.core import Request
from mms.core.request import Buffer
from mms.errors import ServerError
from mms.http.answers import ErrorForm
from mms.http.lane.head import KnownRoute, LaneHead
from mms.limits.memory import MemoryLimit


class Submitter(Protocol):
    """Takes requests; the model host."""

    def submit(self, request: Request) -> None: ...

    def dispatch_due(self) -> None:
        """Nothing can join what was submitted in this turn of the event loop."""

    def cancel(self, request: Request) -> None: ...


class AnswerForm(Protocol):
    """Writes the heads of answers."""

    def head(
        self,
        request_id: bytes,
        status: int,
        phrase: bytes,
        headers: bytes,
        body_bytes: int,
        is_kept_alive: bool,
    ) -> bytes: ...

    def whole(self, request_id: bytes, phrase: bytes, headers: bytes, body: Buffer) -> bytes:
        """Head and body of an answer of status 200 on a connection that is kept."""

    def error(
        self,
        request_id: bytes,
        error: ServerError,
        is_kept_alive: bool,
        form: ErrorForm | None = None,
        lines: bytes = b"",
    ) -> tuple[bytes, bytes]: ...


class LaneConnection(Protocol):
    """A connection as its owner sees it."""

    def check_time(self, now: float) -> None:
        """Close or refuse it where its client has kept it waiting for too long."""

    def forget_head(self) -> None:
        """Paths may stand for something else now."""

    def leave(self, quiet_since: float) -> None:
        """The server stops: the last answer that is owed ends it. Close it where nothing came since then."""

    def close(self) -> None:
        """Close where nothing is owed; else after the last answer."""

    def abort(self) -> None: ...


class LaneOwner(Protocol):
    """The owner as its connections see it. Times in seconds, sizes in bytes."""

    host: Submitter
    answers: AnswerForm
    record: Callable[[tuple[Any, ...]], None]
    make_handler: Callable[[], asyncio.Protocol]
    routes: dict[bytes, KnownRoute]
    heads: dict[bytes, LaneHead]
    connections: set[LaneConnection]
    max_body_bytes: int
    max_line_bytes: int
    max_head_bytes: int
    max_headers_bytes: int
    keep_alive_timeout_s: float
    head_timeout_s: float
    body_timeout_s: float
    memory: MemoryLimit

    def resolve(self, path: bytes) -> KnownRoute:
        """The route of a path that was not asked for lately."""

    def learn(self, raw: bytes) -> LaneHead | None:
        """What a head says that was not seen lately; None for one that the lane does not serve."""

    def add(self, connection: LaneConnection) -> None:
        """A connection has begun."""

    def forget(self, connection: LaneConnection) -> None:
        """A connection has ended, or is served by another protocol from now on."""

    def linger(self, connection: LaneConnection) -> None:
        """End this connection when its client does, or after a while."""
