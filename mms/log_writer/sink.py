"""What takes log lines in the end, one thread at a time."""

from __future__ import annotations

import os
import select
from abc import ABC, abstractmethod
from collections.abc import Callable


class Sink(ABC):
    """Where lines end up. Used from one thread."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Append whole lines. Never raises."""

    @abstractmethod
    def close(self) -> None:
        """Write what is held, and close what is its own."""

    @property
    def held_lines(self) -> int:
        """Lines that it keeps in memory until they can be written."""
        return 0


def report_to_stderr(text: str, fd: int = 2) -> None:
    """Tell people where the log itself cannot. Never raises: there is nobody left to tell."""
    try:
        os.write(fd, f"multi-model-server: {text}\n".encode("utf-8", "backslashreplace"))
    except OSError:
        return


class StreamSink(Sink):
    """An inherited file descriptor such as standard output. Given up for good once its reader is gone."""

    def __init__(self, fd: int, *, report: Callable[[str], None] = report_to_stderr) -> None:
        self._fd = fd
        self._report = report
        self._is_gone = False

    def __repr__(self) -> str:
        return f"<StreamSink of fd {self._fd}{', gone' if self._is_gone else ''}>"

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest and not self._is_gone:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:
                # Whoever shares the descriptor made it non-blocking.
                select.select((), (self._fd,), (), 1.0)
            except OSError as error:
                self._is_gone = True
                self._report(
                    f"cannot write the log to standard output: {error.strerror}. "
                    "It goes to the log files alone from now on."
                )

    def close(self) -> None:
        """The descriptor belongs to the process."""
