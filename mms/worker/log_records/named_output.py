"""Has what a model's code prints name the traces that it is printed for, as what it logs does."""

from __future__ import annotations

import io
import sys

from mms.wire.log_records import MARK, METRIC_MARK
from mms.worker.log_records.running_traces import names_of_traces


def name_output() -> None:
    """Have each line that is printed to standard output end with the traces of the code that prints it.

    The stream stays the same object, which loggers may have kept. Where the model's code has put another one in its
    place, lines name none.
    """
    stream = sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.write = NamedLines(stream).write  # type: ignore[method-assign]


class NamedLines:
    """Stands before a stream's `write`."""

    def __init__(self, stream: io.TextIOBase) -> None:
        self._write = stream.write
        #: Whether the line that is being written has text. Threads that print one line together get what they made.
        self._has_text = False

    def write(self, text: str) -> int:
        """Return the characters of `text` that were written, as its caller counts them. Empty lines, records
        and metrics get no names."""
        names = names_of_traces() if isinstance(text, str) and "\n" in text else ""
        if names and not text.startswith((MARK, METRIC_MARK)):
            self._write(self._named(text, names))
            written = len(text)
        else:
            written = self._write(text)
        if text:
            self._has_text = text[-1] != "\n"
        return written

    def _named(self, text: str, names: str) -> str:
        *whole, begun = text.split("\n")
        has_text = self._has_text
        lines: list[str] = []
        for line in whole:
            lines.append(f"{line}{names}\n" if line.strip() or has_text else f"{line}\n")
            has_text = False
        return "".join(lines) + begun
