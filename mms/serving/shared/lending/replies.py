"""Answers on their way to the front that borrows a worker: frames of a worker, in the order in which one sends them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from mms.core import Request
from mms.core.request import Buffer
from mms.core.streams.open_stream import OpenStream
from mms.errors import ServerError
from mms.wire import FAILED, LAST, STREAM, SUCCEEDED, encode_result
from mms.wire.streams import BEGUN, END, encode_chunks, encode_number


class BatchOwner(Protocol):
    """The worker that a batch was sent to."""

    numbers: Iterator[int]
    #: The streams that are open, by their numbers.
    streams: dict[int, PartsReply]
    #: When a batch was last answered whole, of `time.monotonic()`.
    answered_at: float

    def write_all(self, buffers: Iterable[Buffer]) -> None: ...
    def forget(self, request: Request) -> None:
        """A request is answered."""

    def is_first(self, batch: LentBatch) -> bool:
        """Return whether it is the batch that is to be answered next."""

    def finish(self) -> None:
        """Some batch may be answered now."""

    def begin_next(self) -> None:
        """A batch has been answered whole: the next one's answers may be sent."""


class LentBatch:
    """A batch of a borrower. What is answered before it is its turn waits: a worker answers one after the other."""

    def __init__(self, lent: BatchOwner, sequence: int) -> None:
        self.lent = lent
        self.sequence = sequence
        self.left = 0
        self.is_whole = False
        self._began_at = time.monotonic()
        self._items: list[Any] = []
        self._chunks: list[Any] = []

    def __repr__(self) -> str:
        return f"<LentBatch {self.sequence}, {self.left} left>"

    def answer(self, request: Request, item: Any) -> None:
        self._items.append(item)
        self.lent.forget(request)
        self.left -= 1
        if self.is_whole and self.left:
            self.flush()
        elif self.is_whole:
            self.lent.finish()

    def flush(self) -> None:
        """Send what is answered, if it is this batch's turn."""
        if not self._items or not self.lent.is_first(self) or not self.left:
            return
        items, self._items = self._items, []
        self.lent.write_all(encode_result(self.sequence, 0, 0, items, len(items)))
        self._send_chunks()

    def end(self) -> None:
        # As a worker's time: since it could have been the only one. The borrower sends ahead by that.
        now = time.monotonic()
        began_at = max(self._began_at, self.lent.answered_at)
        self.lent.answered_at = now
        elapsed_ns = int((now - began_at) * 1e9)
        flags = LAST | SUCCEEDED
        self.lent.write_all(
            encode_result(self.sequence, flags, elapsed_ns, self._items, len(self._items))
        )
        self._items = []
        self._send_chunks()
        self.lent.begin_next()

    def chunk(self, item: Any) -> None:
        """Send a part of a stream once the item is sent that begins it."""
        self._chunks.append(item)
        if not self._items:
            self._send_chunks()

    def _send_chunks(self) -> None:
        chunks, self._chunks = self._chunks, []
        if chunks:
            self.lent.write_all(encode_chunks(chunks))


class ItemReply:
    """Takes the answer of one request."""

    def __init__(self, batch: LentBatch, index: int) -> None:
        self._batch = batch
        self._index = index
        self._is_done = False

    def answer(
        self, request: Request, status: int, phrase: bytes, headers: bytes, body: Buffer
    ) -> None:
        self._put(request, (self._index, 0, status, phrase, headers, body))

    def fail(self, request: Request, error: ServerError) -> None:
        self._put(request, failed_item(self._index, error))

    def give_up(self) -> None:
        """The borrower has an answer all the same: a batch is whole."""

    def open_stream(
        self, request: Request, status: int, phrase: bytes, headers: bytes, stream: OpenStream
    ) -> PartsReply:
        lent = self._batch.lent
        number = next(lent.numbers)
        reply = PartsReply(self._batch, number, (status, phrase, headers), stream)
        lent.streams[number] = reply
        self._put(request, (self._index, STREAM, 200, b"", b"", encode_number(number)))
        return reply

    def _put(self, request: Request, item: Any) -> None:
        if not self._is_done:
            self._is_done = True
            self._batch.answer(request, item)


class PartsReply:
    """Passes the parts of one answer on."""

    def __init__(
        self, batch: LentBatch, number: int, head: tuple[int, bytes, bytes], stream: OpenStream
    ) -> None:
        self._batch = batch
        self._number = number
        self._head: tuple[int, bytes, bytes] | None = head
        self._stream = stream

    def on_credit(self, more_bytes: int) -> None:
        """The borrower's client has taken so much; 0: nobody waits for the rest."""
        if more_bytes:
            self._stream.taken(more_bytes)
        else:
            self._stream.close()

    def answer(
        self, request: Request, status: int, phrase: bytes, headers: bytes, body: Buffer
    ) -> None:
        raise AssertionError("an answer in parts is no other one")

    def chunk(self, request: Request, body: Buffer) -> None:
        self._send(0, body)

    def end(self, request: Request) -> None:
        self._send(END, b"")
        self._leave()

    def fail(self, request: Request, error: ServerError) -> None:
        _, flags, status, phrase, headers, body = failed_item(0, error)
        self._batch.chunk((self._number, flags, status, phrase, headers, body))
        self._leave()

    def cut(self) -> None:
        """Nobody waits for it any more."""
        self._stream.close()
        self._send(END, b"")
        self._leave()

    def give_up(self) -> None:
        self.cut()

    def _send(self, flags: int, body: Buffer) -> None:
        head, self._head = self._head, None
        if head is None:
            self._batch.chunk((self._number, flags, 200, b"", b"", body))
        else:
            self._batch.chunk((self._number, flags | BEGUN, *head, body))

    def _leave(self) -> None:
        self._batch.lent.streams.pop(self._number, None)
        self._batch.lent.finish()


def failed_item(index: int, error: ServerError) -> tuple[int, int, int, bytes, bytes, bytes]:
    """Return the item of a request that has no answer of a handler."""
    phrase = error.type_name.encode("latin-1", "replace")
    message = (error.message or "").encode()
    return index, FAILED, error.http_status, phrase, b"", message
