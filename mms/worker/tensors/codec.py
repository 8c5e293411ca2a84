"""What reads requests of a protocol of tensors, and writes their answers."""

from __future__ import annotations

from typing import Any, Protocol

from mms.tensors.tensor import InferRequest, InferResponse
from mms.wire import Item, ResultItem


class TensorCodec(Protocol):
    """The codec of one protocol, for one model. Interfaces name them as `codecs`."""

    def decode(self, item: Item) -> tuple[InferRequest, Any]:
        """Return the request of an item, and what `encode` is to know of the form of its answer. Raises InferError."""

    def encode(
        self, request: InferRequest, form: Any, response: InferResponse, index: int
    ) -> ResultItem:
        """Return the answer to a request, the item `index` of its batch.

        Raises InferError for what the protocol cannot carry in that form.
        """
