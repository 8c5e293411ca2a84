"""Answers in parts to clients that take one answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mms.core import Request
from mms.core.request import Buffer
from mms.errors import NotImplementedHere, ServerError, WorkerFailure

if TYPE_CHECKING:
    from mms.core.streams.open_stream import OpenStream


class OnlyPart:
    """Takes the parts of an answer for a call that has one answer: there may be one of them."""

    def __init__(
        self, reply: Any, head: tuple[int, bytes, bytes], stream: OpenStream, several: str
    ) -> None:
        """`reply`: gets the answer. `head`: status, phrase and header lines. `several`: why there may be no more."""
        self._reply = reply
        self._head = head
        self._stream = stream
        self._several = several
        self._part: Buffer | None = None

    def chunk(self, request: Request, body: Buffer) -> None:
        if self._part is not None:
            request.fail(NotImplementedHere(self._several))
            self._stream.close()
        self._part = body

    def end(self, request: Request) -> None:
        if self._part is None:
            self._reply.fail(request, WorkerFailure("The model has sent no answer."))
        else:
            self._reply.answer(request, *self._head, self._part)

    def answer(
        self, request: Request, status: int, phrase: bytes, headers: bytes, body: Buffer
    ) -> None:
        self._reply.answer(request, status, phrase, headers, body)

    def fail(self, request: Request, error: ServerError) -> None:
        self._reply.fail(request, error)

    def give_up(self) -> None:
        self._reply.give_up()
