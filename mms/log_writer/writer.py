"""Writes log lines where they belong.

What writes is either threads of this process (`ThreadWriter`), or a process of its own that has such threads
(`ProcessWriter` in `process_writer.py`).
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from mms.log_writer.json_lines import JSON, TEXT, as_json
from mms.log_writer.line_writer import LineWriter
from mms.log_writer.lines import STDOUT, Lines, written_out
from mms.log_writer.rotating_file import RotatingFile
from mms.log_writer.sink import Sink, StreamSink, report_to_stderr

#: Log text in memory while files, or the reader of standard output, do not keep up.
_FILES_LIMIT_BYTES = 64 * 1024 * 1024
_STDOUT_LIMIT_BYTES = 16 * 1024 * 1024
#: How long an end of the server waits for them.
FILES_CLOSE_S = 5.0
STDOUT_CLOSE_S = 2.0
#: A process that writes costs its wake-ups, and threads take Python's lock from the event loop by each of theirs.
_PAUSE_S = 0.012


class LogWriter(ABC):
    """Takes log text from any thread. No method but `close` and `wait_until_written` waits for an output."""

    #: Whoever has much to write had better gather it for so long.
    pause_s = _PAUSE_S

    @property
    @abstractmethod
    def dropped_lines(self) -> int:
        """Lines that no file and no reader took, since the start."""

    @property
    def is_behind(self) -> bool:
        """Whether another `put`, without items if there are none, is to come soon: not all could be handed on."""
        return False

    @abstractmethod
    def put(self, items: Sequence[Lines]) -> None:
        """Write lines, in their order."""

    @abstractmethod
    def wait_until_written(self, timeout_s: float) -> bool:
        """Wait for all that was put so far. False where the time was not enough."""

    @abstractmethod
    def close(self) -> None:
        """Write everything and close the files. Takes a few seconds at most, even where an output is stuck."""


class ThreadWriter(LogWriter):
    """One thread for the files and one for standard output, whose reader may stop."""

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        stdout_fd: int,
        *,
        layout: str = TEXT,
        report: Callable[[str], None] = report_to_stderr,
        on_progress: Callable[[], None] | None = None,
        give_way: Callable[[], object] | None = None,
    ) -> None:
        """`give_way`: called again and again while lines are made of items."""
        self._give_way = give_way
        self._is_json = layout == JSON
        self._files = LineWriter(
            "log-files", _FILES_LIMIT_BYTES, report=report, on_progress=on_progress
        )
        self._stdout = LineWriter(
            "log-stdout", _STDOUT_LIMIT_BYTES, report=report, on_progress=on_progress
        )
        self._stdout_sink: Sink = StreamSink(stdout_fd, report=report)
        self._sinks = [RotatingFile(path, report=report) for path in paths]

    def __repr__(self) -> str:
        return f"<ThreadWriter {self._files!r}, {self._stdout!r}>"

    @property
    def dropped_lines(self) -> int:
        return (
            self._files.dropped_lines
            + self._stdout.dropped_lines
            + sum(sink.dropped_lines for sink in self._sinks)
        )

    @property
    def done_items(self) -> int:
        """Items that are done with, an item counting once for each of its outputs."""
        return self._files.done_items + self._stdout.done_items

    @property
    def done_lines(self) -> int:
        """Lines that are written or dropped, a line counting once for each of its outputs."""
        held = sum(sink.held_lines for sink in self._sinks)
        return self._files.done_lines + self._stdout.done_lines - held

    def put(self, items: Sequence[Lines]) -> None:
        for_files: list[tuple[Sink, bytes, int]] = []
        if self._is_json:
            items = as_json(items)
        for outputs, data, lines in written_out(items, self._give_way):
            if outputs & STDOUT:
                self._stdout.put([(self._stdout_sink, data, lines)])
            for_files += [
                (sink, data, lines)
                for index, sink in enumerate(self._sinks)
                if outputs >> index & 1
            ]
        if for_files:
            self._files.put(for_files)

    def wait_until_written(self, timeout_s: float) -> bool:
        files_done = self._files.wait_until_written(timeout_s)
        return self._stdout.wait_until_written(timeout_s) and files_done

    def close(self) -> None:
        self._stdout.close(STDOUT_CLOSE_S)
        self._files.close(FILES_CLOSE_S)
