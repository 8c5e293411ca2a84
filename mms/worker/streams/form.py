"""What a stream is to the pump: where its next value comes from, and how a value is written."""

from __future__ import annotations

from typing import Any, Protocol

from mms.wire import Buffer

#: Status, reason phrase and finished header lines.
Head = tuple[int, bytes, bytes]


class ChunkForm(Protocol):
    """Writes the values of one stream as its client gets them."""

    def enter(self) -> None:
        """The model's code is about to run for this stream."""

    def leave(self) -> None:
        """It has run: what is asked of the context belongs to others again."""

    def head(self) -> Head:
        """Return the head of the answer. Asked before the first chunk is sent, in the stream's own context."""

    def body(self, value: Any) -> Buffer:
        """Return what is sent of a value. Raises ValueError where it cannot be."""

    def failure(self, error: BaseException) -> tuple[int, bytes]:
        """Return (status, message) for what the code has raised, after it was logged."""


def is_stream(value: Any) -> bool:
    """Return whether a result is an iterator or an async iterator, which is to be sent piece by piece."""
    kind = type(value)
    return hasattr(kind, "__next__") or hasattr(kind, "__anext__")


def is_async_stream(value: Any) -> bool:
    return hasattr(type(value), "__anext__")
