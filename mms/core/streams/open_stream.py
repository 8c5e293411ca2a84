"""Answers that are streams, as the front keeps them: which are open, what each may send, and since when it is silent.

Synchronous and without I/O, as all of the core; time is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from mms.core.request import Buffer, Request
from mms.errors import WorkerFailure
from mms.wire import ProtocolError
from mms.wire.streams import WINDOW_BYTES, cost_of

#: So much of a stream's window is taken by its client before the worker is told: a frame for each chunk would cost more
#: than the chunk.
_GRANT_BYTES = WINDOW_BYTES // 2


@dataclass(slots=True)
class StreamCounts:
    """Streams of a model version so far, by what became of them, and their chunks."""

    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    chunks: int = 0
    chunk_bytes: int = 0

    def by_kind(self) -> dict[str, int]:
        """Return the counts by their names; empty where there were no streams."""
        counts = asdict(self)
        return counts if any(counts.values()) else {}


class OpenStream:
    """The stream of one request. A reply that takes its chunks says by `taken` and `close` what becomes of them."""

    __slots__ = (
        "_grant",
        "_owed",
        "chunks",
        "credit",
        "has_begun",
        "is_closed",
        "number",
        "request",
        "since",
    )

    def __init__(
        self, number: int, request: Request, now: float, grant: Callable[[int, int], None]
    ) -> None:
        """`grant`: gives the worker more credit for the stream of a number; 0: has it end the stream."""
        self.number = number
        self.request = request
        self._grant = grant
        #: What the worker may still send, in bytes.
        self.credit = WINDOW_BYTES
        #: What its client has taken that the worker has no credit for yet.
        self._owed = 0
        #: The first chunk has come.
        self.has_begun = False
        self.chunks = 0
        #: Nobody waits for it any more; the worker has yet to end it.
        self.is_closed = False
        #: Since when it has sent nothing though it may, of `time.monotonic()`; 0: from the next look on.
        self.since = now

    def __repr__(self) -> str:
        closed = " closed" if self.is_closed else ""
        return f"<OpenStream {self.number} of {self.request!r}, {self.chunks} chunks{closed}>"

    def use(self, body: Buffer, now: float) -> None:
        """A chunk has come. Raises ProtocolError where there was no credit for it."""
        if self.credit <= 0:
            raise ProtocolError(f"a chunk of stream {self.number}, which has no credit")
        self.credit -= cost_of(body)
        self.chunks += 1
        self.since = now

    def taken(self, cost_bytes: int) -> None:
        """The client has taken chunks of this cost."""
        self._owed += cost_bytes
        if self._owed >= _GRANT_BYTES and not self.is_closed:
            more, self._owed = self._owed, 0
            if self.credit <= 0:
                self.since = 0.0
            self.credit += more
            self._grant(self.number, more)

    def close(self) -> None:
        """Nobody waits for the rest."""
        if not self.is_closed:
            self.is_closed = True
            self.since = 0.0
            self._grant(self.number, 0)


class WorkerStreams:
    """The open streams of one worker's process."""

    __slots__ = ("_by_number", "_by_request")

    def __init__(self) -> None:
        self._by_number: dict[int, OpenStream] = {}
        self._by_request: dict[Request, OpenStream] = {}

    def __repr__(self) -> str:
        return f"<WorkerStreams {len(self)} open>"

    def __len__(self) -> int:
        return len(self._by_number)

    def __iter__(self) -> Iterator[OpenStream]:
        return iter(self._by_number.values())

    def __contains__(self, request: Request) -> bool:
        return request in self._by_request

    def open(
        self, number: int, request: Request, now: float, grant: Callable[[int, int], None]
    ) -> OpenStream:
        """Take a stream that a worker has begun. Raises ProtocolError for a second one of a number, or of a request."""
        if number in self._by_number or request in self._by_request:
            raise ProtocolError(f"a second stream {number}, or a second one of a request")
        stream = self._by_number[number] = OpenStream(number, request, now, grant)
        self._by_request[request] = stream
        return stream

    def find(self, number: int) -> OpenStream:
        """Raises ProtocolError where there is none of this number."""
        stream = self._by_number.get(number)
        if stream is None:
            raise ProtocolError(f"a chunk of stream {number}, which is not open")
        return stream

    def of(self, request: Request) -> OpenStream | None:
        return self._by_request.get(request)

    def end(self, stream: OpenStream) -> None:
        """The worker has sent the last of it."""
        self._by_number.pop(stream.number, None)
        self._by_request.pop(stream.request, None)

    def take_all(self) -> list[OpenStream]:
        """Forget all, and return them: their process is gone."""
        streams = list(self._by_number.values())
        self._by_number.clear()
        self._by_request.clear()
        for stream in streams:
            # There is nobody left to be told.
            stream.is_closed = True
        return streams


def cut_silent(streams: WorkerStreams, timeout_s: float, now: float) -> bool:
    """Fail the streams that have sent nothing for too long.

    Returns whether the worker has not ended one for as long that it was to end.
    """
    is_stuck = False
    for stream in streams:
        if not stream.since:
            stream.since = now
        if now - stream.since < timeout_s:
            continue
        if stream.is_closed:
            is_stuck = True
        elif stream.credit > 0:
            stream.request.fail(
                WorkerFailure(f"The model has sent nothing for {timeout_s:g} seconds.")
            )
            stream.close()
    return is_stuck
