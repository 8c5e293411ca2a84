"""A request on its way through the front, and where its one answer goes."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

from mms import faults
from mms.errors import ServerError, UnexpectedError
from mms.wire import ModelOperation, RequestHead

Buffer: TypeAlias = bytes | bytearray | memoryview

#: What a client is told whose deadline was over before any worker had its request.
EXPIRED_QUEUED = "The request's deadline passed while it was queued."


class Reply(Protocol):
    """Takes the answer of a request. Exactly one of the two methods is called, once, from the event loop.

    After an `answer` that raised `fail` is called: nothing of the answer has reached the client then, or the client's
    connection is ended. After a `fail` that raised `give_up` is called.
    """

    def answer(
        self, request: Request, status: int, phrase: bytes, headers: bytes, body: Buffer
    ) -> None:
        """Send an answer. `headers`: finished lines, each with CR LF; never the names that the front owns."""

    def fail(self, request: Request, error: ServerError) -> None:
        """The request has no answer of a handler."""

    def give_up(self) -> None:
        """There is no way to tell the client anything: end its connection, or what waits for the answer."""


class StreamReply(Reply, Protocol):
    """Takes an answer that comes in parts. `end` or `fail` is the last call; `answer` is none of its calls.

    A reply whose clients can take parts has a method
    `open_stream(request, status, phrase, headers, stream: OpenStream) -> StreamReply`, which is called with the first
    part; for others the parts are put together.
    """

    def chunk(self, request: Request, body: Buffer) -> None:
        """Send a part. The stream is told by `taken` once the client has taken it, so that more may come."""

    def end(self, request: Request) -> None:
        """There are no further parts."""


class RequestTrace(Protocol):
    """What is written down of a request that is traced."""

    @property
    def context(self) -> Any: ...

    @property
    def words(self) -> str:
        """What the access log says of it."""

    def note_status(self, status: int) -> None:
        """The head of an answer in parts is known."""

    def end(self, status: int = 0) -> None:
        """The request is answered."""

    def cancel(self) -> None:
        """The client is gone."""

    def begin_node(self, name: str, operation: str) -> Any: ...


class Request:
    """One client call.

    `head`: what its worker is told; names of headers are in the client's spelling, and the worker parses them if a
    handler asks. `body` is what the client sent, untouched. Times are of `time.monotonic()`; `deadline` 0 is none.
    `priority`: 0 high, 1 normal, 2 low.
    """

    __slots__ = (
        "body",
        "deadline",
        "deaths",
        "head",
        "id",
        "is_done",
        "is_solo",
        "name",
        "priority",
        "received_at",
        "reply",
        "sequence",
        "span",
        "version",
    )

    def __init__(
        self,
        id: bytes,
        name: str,
        version: str | None,
        passes_query: bool,
        content_type: bytes,
        query: bytes,
        headers: bytes,
        body: Buffer,
        reply: Reply,
        received_at: float,
        deadline: float = 0.0,
        priority: int = 1,
        operation: ModelOperation | None = None,
    ) -> None:
        self.id = id
        self.name = name
        self.version = version
        self.head = RequestHead(passes_query, content_type, query, headers, operation)
        self.body = body
        self.reply = reply
        self.received_at = received_at
        self.deadline = deadline
        self.priority = priority
        #: Answered, failed or given up by its client: nothing more is to be done for it.
        self.is_done = False
        #: The nodes of the workers that died while they may have run this request; empty texts for this machine.
        self.deaths: tuple[str, ...] = ()
        #: To be sent in a batch of its own, with no other batch behind it.
        self.is_solo = False
        #: None: it is not traced.
        self.span: RequestTrace | None = None
        #: The `Sequence` that it is a part of, where its model has some.
        self.sequence: Any = None

    def __repr__(self) -> str:
        done = " done" if self.is_done else ""
        return f"<Request {self.id.decode()} of {self.name}, {len(self.body)} bytes{done}>"

    @property
    def passes_query(self) -> bool:
        return self.head.passes_query

    @property
    def content_type(self) -> bytes:
        return self.head.content_type

    @property
    def query(self) -> bytes:
        return self.head.query

    @property
    def headers(self) -> bytes:
        return self.head.headers

    @property
    def operation(self) -> ModelOperation | None:
        return self.head.operation

    def answer(self, status: int, phrase: bytes, headers: bytes, body: Buffer) -> None:
        if not self.is_done:
            self.is_done = True
            try:
                self.reply.answer(self, status, phrase, headers, body)
            except Exception as fault:
                self.replace_answer(fault)
            if self.span is not None:
                self.span.end(status)

    def fail(self, error: ServerError) -> None:
        """Answer with an error. It raises nothing: whoever fails many requests must come to the last one."""
        if not self.is_done:
            self.is_done = True
            try:
                self.reply.fail(self, error)
            except Exception as fault:
                faults.note("reply", fault, self.name, self.version, request_ids=(self.id,))
                with faults.contained("reply", self.name, self.version):
                    self.reply.give_up()
            if self.span is not None:
                self.span.end(error.http_status)

    def send_chunk(self, body: Buffer) -> bool:
        """Send a part of a stream that has begun. Returns whether the client can take more. It raises nothing."""
        reply: StreamReply = self.reply  # type: ignore[assignment]  # since it has begun
        try:
            reply.chunk(self, body)
        except Exception as fault:
            self.replace_answer(fault)
        return not self.is_done

    def end_stream(self) -> None:
        """End a stream that has begun, as a whole answer ends. It raises nothing."""
        if not self.is_done:
            self.is_done = True
            reply: StreamReply = self.reply  # type: ignore[assignment]  # since it has begun
            try:
                reply.end(self)
            except Exception as fault:
                self.replace_answer(fault)
            if self.span is not None:
                self.span.end()

    def replace_answer(self, fault: Exception) -> None:
        """The answer could not be given to the client, who gets an error in its place."""
        faults.note("reply", fault, self.name, self.version, request_ids=(self.id,))
        self.is_done = False
        self.fail(UnexpectedError(self.id))
