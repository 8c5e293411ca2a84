"""Batches of requests that are nothing but what a worker is told of them."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from mms.wire import RequestHead, encode_batches


class WithHead:
    """Has its head made of its members, which may change."""

    passes_query: bool
    content_type: bytes
    query: bytes
    headers: bytes
    operation: Any

    @property
    def head(self) -> RequestHead:
        return RequestHead(
            self.passes_query, self.content_type, self.query, self.headers, self.operation
        )


def encode_batch(sequence: int, requests: Sequence[Any], now: float) -> list[Any]:
    """The buffers of one batch's frame."""
    return encode_batches([SimpleNamespace(sequence=sequence, requests=list(requests))], now)
