"""Streams to clients of protocols of tensors: each part is an answer of its own, as the protocol writes one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mms.tensors.tensor import InferResponse
from mms.wire import FAILED, Buffer, ResultItem
from mms.worker.streams.form import Head
from mms.worker.tensors.items import TensorItem, TensorItems


class _Refused(Exception):
    """A part that cannot be written, as an item says it."""

    def __init__(self, item: ResultItem) -> None:
        super().__init__(item)
        self.item = item


class TensorForm:
    """The form of one request's stream."""

    def __init__(
        self,
        items: TensorItems,
        item: TensorItem,
        response_of: Callable[[Any], InferResponse] | None = None,
    ) -> None:
        """`response_of`: makes a response of what the model's code gives; None: it gives responses, and errors."""
        self._items = items
        self._item = item
        self._response_of = response_of
        self._head: Head = (200, b"", b"")

    def enter(self) -> None:
        """Models of tensors have no context that others share."""

    def leave(self) -> None:
        """The same."""

    def head(self) -> Head:
        return self._head

    def body(self, value: Any) -> Buffer:
        answer = value if self._response_of is None else self._response_of(value)
        result = self._items.write(self._item, answer, 0)
        _, flags, status, phrase, headers, body = result
        if flags & FAILED:
            raise _Refused(result)
        self._head = (status, phrase, headers)
        return body

    def failure(self, error: BaseException) -> tuple[int, bytes]:
        if isinstance(error, _Refused):
            item = error.item
        elif isinstance(error, Exception):
            item = self._items.failure(0, error)
        else:
            return 500, b"The request could not be answered"
        return item[2], bytes(item[5])
