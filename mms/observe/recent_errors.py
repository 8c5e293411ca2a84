"""The newest errors that clients were answered with, for people who look: bounded, in memory alone."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from mms.text.brief import one_line

#: Takes the id of a request, the model and version that it was for, and the status and message of its answer.
NoteError: TypeAlias = Callable[[bytes, str, str, int, str], None]

#: Of errors of the server and its models, and of faults of clients, which are not to push the others out.
_REMEMBERED = 100
_MAX_MESSAGE_CHARACTERS = 300


class ErrorNote(NamedTuple):
    """An answer with an error. `at`: seconds since the epoch. `model`: empty where no registered one was asked."""

    at: float
    request_id: str
    model: str
    version: str
    status: int
    message: str


class RecentErrors:
    """Keeps the newest ones. Used on the event loop."""

    def __init__(self) -> None:
        self._of_server: deque[ErrorNote] = deque(maxlen=_REMEMBERED)
        self._of_clients: deque[ErrorNote] = deque(maxlen=_REMEMBERED)

    def __repr__(self) -> str:
        return f"<RecentErrors {len(self._of_server)} of the server, {len(self._of_clients)} of clients>"

    def note(self, request_id: bytes, model: str, version: str, status: int, message: str) -> None:
        """Remember an answer of status 400 or above."""
        kept = self._of_server if status >= 500 else self._of_clients
        text = one_line(message[:_MAX_MESSAGE_CHARACTERS])
        kept.append(
            ErrorNote(
                time.time(), request_id.decode("ascii", "replace"), model, version, status, text
            )
        )

    def newest(self, most: int = _REMEMBERED) -> list[ErrorNote]:
        """Return at most so many of the server and so many of clients, the newest first."""
        kept = (self._of_server, self._of_clients)
        return sorted((note for notes in kept for note in list(notes)[-most:]), reverse=True)
