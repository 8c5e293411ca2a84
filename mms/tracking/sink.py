"""What takes records in the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Undelivered(Exception):
    """The first `delivered` records of a write were taken, the others were not. The message says why.

    `can_retry`: the same may go better later. Otherwise the record after those delivered will never be taken, and
    those behind it have not been tried.
    """

    def __init__(self, reason: str, delivered: int, *, can_retry: bool) -> None:
        super().__init__(reason)
        self.delivered = delivered
        self.can_retry = can_retry


class Sink(Protocol):
    """Used by one thread, which may be another one than made it."""

    def write(self, records: Sequence[bytes]) -> None:
        """Records are JSON texts without line ends. Returns once they are taken. Raises Undelivered."""

    def close(self) -> None:
        """Give back what it holds. Never raises."""
