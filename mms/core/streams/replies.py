"""The replies that take the parts of streams."""

from __future__ import annotations

from typing import Protocol

from mms.core.request import Buffer, Reply, Request
from mms.core.streams.open_stream import OpenStream
from mms.errors import ServerError, WorkerFailure
from mms.wire.streams import cost_of


def begin_stream(
    request: Request, head: tuple[int, bytes, bytes], stream: OpenStream, max_bytes: int
) -> bool:
    """Have a request's reply take parts, of an answer with this head. Returns whether it does; it raises nothing.

    `max_bytes`: of an answer whose parts have to be put together.
    """
    reply = request.reply
    # It cannot be run once more.
    request.body = b""
    try:
        if request.span is not None:
            request.span.note_status(head[0])
        open_stream = getattr(reply, "open_stream", None)
        if open_stream is None:
            request.reply = CollectedReply(reply, head, stream, max_bytes)
        else:
            request.reply = open_stream(request, *head, stream)
    except Exception as fault:
        request.replace_answer(fault)
    return not request.is_done


class Parts(Protocol):
    """Chunks of a stream, as they become one body."""

    def append(self, body: Buffer, /) -> None: ...

    def clear(self) -> None: ...

    def whole(self) -> Buffer:
        """Return the body."""


class _Chunks:
    def __init__(self) -> None:
        self._chunks: list[Buffer] = []

    def append(self, body: Buffer, /) -> None:
        self._chunks.append(body)

    def clear(self) -> None:
        self._chunks.clear()

    def whole(self) -> Buffer:
        return b"".join(self._chunks)


class CollectedReply:
    """Puts the chunks of a stream together, for clients that get one answer."""

    def __init__(
        self,
        reply: Reply,
        head: tuple[int, bytes, bytes],
        stream: OpenStream,
        max_bytes: int,
        parts: Parts | None = None,
    ) -> None:
        """`head`: status, reason phrase and header lines. `max_bytes`: of all chunks.

        `parts`: makes the body of them; None: it is what they are one behind the other.
        """
        self._reply = reply
        self._head = head
        self._stream = stream
        self._max_bytes = max_bytes
        self._size = 0
        self._chunks: Parts = _Chunks() if parts is None else parts

    def chunk(self, request: Request, body: Buffer) -> None:
        self._size += len(body)
        if self._size > self._max_bytes:
            self._chunks.clear()
            request.fail(
                WorkerFailure(
                    f"The stream is larger than max_response_size ({self._max_bytes} bytes)"
                )
            )
            self._stream.close()
            return
        self._chunks.append(body)
        self._stream.taken(cost_of(body))

    def end(self, request: Request) -> None:
        self._reply.answer(request, *self._head, self._chunks.whole())

    def answer(
        self, request: Request, status: int, phrase: bytes, headers: bytes, body: Buffer
    ) -> None:
        self._reply.answer(request, status, phrase, headers, body)

    def fail(self, request: Request, error: ServerError) -> None:
        self._reply.fail(request, error)

    def give_up(self) -> None:
        self._reply.give_up()
