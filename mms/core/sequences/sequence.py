"""One sequence, and all of a model version. Synchronous and without I/O; time is passed in."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from mms.core.request import Buffer, Request
from mms.core.sequences.rules import SequenceRules
from mms.core.streams.open_stream import OpenStream
from mms.core.worker import Worker
from mms.errors import BadRequest, ServerError
from mms.text.brief import brief
from mms.wire import RequestHead

#: Of a client's id, in bytes: it is kept for as long as its sequence is.
_MOST_ID_BYTES: Final = 256


class Sequence:
    """Requests that a model is to have in their order, in one process. Times are of `time.monotonic()`."""

    __slots__ = (
        "_ready_at",
        "began_at",
        "id",
        "is_ended",
        "is_ending",
        "requests",
        "running",
        "used_at",
        "worker",
    )

    def __init__(self, id: bytes, now: float) -> None:
        self.id = id
        self.began_at = self.used_at = now
        #: Those that are not answered, in their order.
        self.requests: list[Request] = []
        #: The one that a worker had last.
        self.running: Request | None = None
        self.worker: Worker | None = None
        self._ready_at = 0.0
        #: Its client has sent the last request of it.
        self.is_ending = False
        #: The model has said that it is over.
        self.is_ended = False

    def __repr__(self) -> str:
        return f"<Sequence {self.id.decode('latin-1')}, {len(self.requests)} requests>"

    def has_live(self) -> bool:
        """Return whether a request of it has no answer yet."""
        self.requests = [request for request in self.requests if not request.is_done]
        return bool(self.requests)

    def bind(self, worker: Worker) -> None:
        """The process that a worker is now keeps what belongs to it."""
        self.worker = worker
        self._ready_at = worker.ready_at

    def is_with(self, worker: Worker) -> bool:
        """Return whether a worker is still the process that has it."""
        return self.worker is worker and self._ready_at == worker.ready_at

    def may_go_on(self) -> bool:
        """Return whether the request before is answered, or streams in a running batch that others join."""
        running = self.running
        if running is None or running.is_done:
            return True
        worker = self.worker
        return worker is not None and worker.is_continuous and running in worker.streams

    def is_over(self, rules: SequenceRules, now: float) -> bool:
        """Return whether it is to make room for another one."""
        if self.has_live():
            return False
        return (
            self.is_ended
            or self.is_ending
            or bool(rules.max_idle_s and now - self.used_at >= rules.max_idle_s)
            or bool(rules.timeout_s and now - self.began_at >= rules.timeout_s)
        )


class Sequences:
    """Owner of a model version's sequences."""

    def __init__(self, rules: SequenceRules) -> None:
        self.rules = rules
        #: Why the last request that was not taken was not; empty where it was for no reason of sequences.
        self.refusal = ""
        self._by_id: dict[bytes, Sequence] = {}

    def __repr__(self) -> str:
        return f"<Sequences {len(self._by_id)}>"

    def count(self, now: float) -> int:
        """Return how many there are."""
        self._forget_over(now)
        return len(self._by_id)

    def place_for(self, request: Request, most: int) -> tuple[Sequence, bool] | None:
        """Return the sequence of a request, and whether the client has named it; None where there is no room.

        `most`: sequences at once. Raises BadRequest for an id that cannot be.
        """
        now = request.received_at
        self.refusal = ""
        named = _header(request.headers, self.rules.headers.id)
        if not named:
            id = b"ts-seq-" + str(uuid.uuid4()).encode()
        elif len(named) > _MOST_ID_BYTES:
            raise BadRequest(
                f"Header {self.rules.headers.id} has {len(named)} bytes; {_MOST_ID_BYTES} are the most."
            )
        else:
            id = named
        found = self._by_id.get(id)
        if found is not None and found.is_over(self.rules, now):
            del self._by_id[id]
            found = None
        if found is None:
            if len(self._by_id) >= most:
                self._forget_over(now)
            if len(self._by_id) >= most:
                self.refusal = f"It has {most} sequences, which are the most (max_sequences)."
                return None
            return Sequence(id, now), bool(named)
        waiting = sum(not each.is_done and each is not found.running for each in found.requests)
        if waiting >= self.rules.most_waiting:
            self.refusal = (
                f"The sequence {brief(id.decode('latin-1'))} has {waiting} requests that wait, which are the most "
                "(max_sequence_queue_size)."
            )
            return None
        return found, True

    def join(self, sequence: Sequence, request: Request, *, is_named: bool) -> None:
        """Take a request that is queued into its sequence."""
        headers = self.rules.headers
        self._by_id.setdefault(sequence.id, sequence)
        request.sequence = sequence
        sequence.requests.append(request)
        sequence.used_at = request.received_at
        sequence.is_ending = _header(request.headers, headers.end).strip().lower() == b"true"
        if not is_named:
            _add_headers(request, ((headers.start, b"true"), (headers.id, sequence.id)))
        reply = request.reply
        kind = _StreamReply if hasattr(reply, "open_stream") else _Reply
        request.reply = kind(reply, self)

    def end(self, ids: Iterable[bytes]) -> None:
        """A model has said that sequences are over."""
        for id in ids:
            found = self._by_id.get(id.strip())
            if found is not None:
                found.is_ended = True

    def by_worker(self, now: float) -> Counter[Worker]:
        """Return how many sequences each worker has."""
        self._forget_over(now)
        return Counter(each.worker for each in self._by_id.values() if each.worker is not None)

    def note_answer(self, headers: bytes) -> None:
        """Look at the lines of an answer's head for sequences that it ends."""
        name = self.rules.headers.end.encode("latin-1").lower()
        if name not in headers.lower():
            return
        for line in headers.split(b"\r\n"):
            found, _, value = line.partition(b":")
            if found.strip().lower() == name:
                self.end(value.split(b";"))

    def _forget_over(self, now: float) -> None:
        for each in [each for each in self._by_id.values() if each.is_over(self.rules, now)]:
            del self._by_id[each.id]


class _Reply:
    """A request's own, which hears of sequences that its answer ends."""

    __slots__ = ("_reply", "_sequences")

    def __init__(self, reply: Any, sequences: Sequences) -> None:
        self._reply = reply
        self._sequences = sequences

    def answer(
        self, request: Request, status: int, phrase: bytes, headers: bytes, body: Buffer
    ) -> None:
        self._sequences.note_answer(headers)
        self._reply.answer(request, status, phrase, headers, body)

    def fail(self, request: Request, error: ServerError) -> None:
        self._reply.fail(request, error)

    def give_up(self) -> None:
        self._reply.give_up()


class _StreamReply(_Reply):
    """The same of a client that takes parts."""

    __slots__ = ()

    def open_stream(
        self, request: Request, status: int, phrase: bytes, headers: bytes, stream: OpenStream
    ) -> Any:
        self._sequences.note_answer(headers)
        return self._reply.open_stream(request, status, phrase, headers, stream)


def _header(block: bytes, name: str) -> bytes:
    """Return the last value of a header in a request's block; nothing where it has none."""
    wanted = name.encode("latin-1").lower()
    if wanted not in block.lower():
        return b""
    lines = block.split(b"\n")
    for place in range(len(lines) - 2 + len(lines) % 2, -1, -2):
        if lines[place].lower() == wanted and place + 1 < len(lines):
            return lines[place + 1].strip()
    return b""


def _add_headers(request: Request, headers: Iterable[tuple[str, bytes]]) -> None:
    head = request.head
    lines = [part for name, value in headers for part in (name.encode("latin-1"), value)]
    block = b"\n".join([*([head.headers] if head.headers else []), *lines])
    request.head = RequestHead(
        head.passes_query, head.content_type, head.query, block, head.operation
    )
