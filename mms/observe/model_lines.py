"""The newest lines of each model, in memory: what its workers print and log, and what becomes of them.

Whoever follows them has a place in the numbers of the lines, and no list of their own, so that a slow reader costs no
memory: it misses lines, and is told so.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final

from mms import faults
from mms.log_writer.dates import LineDates
from mms.observe.log_files.setup import level_word

#: What is kept of a model's lines, and of those of all models together; whichever is less.
MOST_LINES: Final = 1000
_MOST_CHARS: Final = 256 * 1024
_MOST_CHARS_IN_ALL: Final = 16 * 1024 * 1024
_LINE_CHARS: Final = 4096
#: What a line costs besides its text.
_BASE_CHARS: Final = 200
#: Followers are told of new lines together, so long after the first one, in seconds.
_WAKE_S: Final = 0.05


class ModelLine:
    """A line. `stream`: `stdout`, `stderr`, or `server` for what the server says of the model."""

    __slots__ = (
        "_rendered",
        "at_ms",
        "level",
        "logger",
        "model",
        "number",
        "stream",
        "text",
        "worker",
    )

    def __init__(
        self,
        number: int,
        at_ms: int,
        model: str,
        worker: str,
        stream: str,
        level: int,
        logger: str,
        text: str,
    ) -> None:
        self.number = number
        self.at_ms = at_ms
        self.model = model
        self.worker = worker
        self.stream = stream
        self.level = level
        self.logger = logger
        self.text = text if len(text) <= _LINE_CHARS else f"{text[:_LINE_CHARS]}..."
        self._rendered: bytes | None = None

    def __repr__(self) -> str:
        return f"<ModelLine {self.number} of {self.model}>"

    @property
    def chars(self) -> int:
        return len(self.text) + _BASE_CHARS

    def describe(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "time": _dates.of(self.at_ms),
            "level": level_word(self.level).strip(),
            "modelName": self.model,
            "worker": self.worker,
            "stream": self.stream,
            "logger": self.logger,
            "message": self.text,
        }

    def rendered(self, render: Callable[[Any], bytes]) -> bytes:
        """Return the line as all its readers get it; `render` is called once."""
        if self._rendered is None:
            self._rendered = render(self.describe())
        return self._rendered


_dates = LineDates()


class _Tail:
    """The lines of one model."""

    __slots__ = ("chars", "dropped_number", "lines")

    def __init__(self) -> None:
        self.lines: deque[ModelLine] = deque()
        self.chars = 0
        #: Of the last line that has made room.
        self.dropped_number = 0


class ModelLines:
    """The newest lines of all models. Used from the event loop's thread."""

    def __init__(self) -> None:
        #: The one with the newest line is the last one.
        self._tails: OrderedDict[str, _Tail] = OrderedDict()
        self._chars = 0
        # They go on growing after a restart of the server, so that a client can say which line it had last.
        self._number = int(time.time() * 1000) * 1000
        self._watchers: set[Callable[[], None]] = set()
        self._is_waking = False

    def __repr__(self) -> str:
        return f"<ModelLines of {len(self._tails)} models, {len(self._watchers)} followers>"

    @property
    def last_number(self) -> int:
        """Of the newest line of all."""
        return self._number

    def has(self, model: str) -> bool:
        return model in self._tails

    def add(self, model: str, worker: str, stream: str, level: int, logger: str, text: str) -> None:
        """Keep a line; the oldest ones make room."""
        self._number += 1
        at_ms = int(time.time() * 1000)
        line = ModelLine(self._number, at_ms, model, worker, stream, level, logger, text)
        tail = self._tails.get(model)
        if tail is None:
            tail = self._tails[model] = _Tail()
        self._tails.move_to_end(model)
        tail.lines.append(line)
        tail.chars += line.chars
        self._chars += line.chars
        while len(tail.lines) > MOST_LINES or tail.chars > _MOST_CHARS:
            self._drop_line(tail)
        while self._chars > _MOST_CHARS_IN_ALL:
            quietest = next(iter(self._tails.values()))
            self._drop_line(quietest)
            if not quietest.lines:
                self._tails.popitem(last=False)
        if self._watchers and not self._is_waking:
            self._is_waking = True
            asyncio.get_running_loop().call_later(_WAKE_S, self._wake)

    def _drop_line(self, tail: _Tail) -> None:
        line = tail.lines.popleft()
        tail.dropped_number = line.number
        tail.chars -= line.chars
        self._chars -= line.chars

    @faults.contained("followers")
    def _wake(self) -> None:
        self._is_waking = False
        for wake in self._watchers:
            wake()

    @contextlib.contextmanager
    def watched(self, wake: Callable[[], None]) -> Iterator[None]:
        """Have `wake` called when there are new lines."""
        self._watchers.add(wake)
        try:
            yield
        finally:
            self._watchers.discard(wake)

    def newest(self, model: str | None, most: int) -> list[ModelLine]:
        """Return the newest lines of a model, or of all, in the order of time."""
        # No more than these of all that are kept: it runs on the event loop.
        found = heapq.merge(
            *(islice(reversed(t.lines), most) for t in self._of(model)),
            key=lambda line: -line.number,
        )
        return list(islice(found, most))[::-1]

    def after(self, model: str | None, number: int, most: int) -> tuple[list[ModelLine], bool]:
        """Return the first lines after one, in the order of time, and whether some between are not kept any more."""
        is_missing = False
        parts = []
        for tail in self._of(model):
            if not tail.lines or tail.lines[-1].number <= number:
                continue
            is_missing = is_missing or tail.dropped_number > number
            part = []
            for line in reversed(tail.lines):
                if line.number <= number:
                    break
                part.append(line)
            parts.append(part[::-1])
        merged = heapq.merge(*parts, key=lambda line: line.number)
        return list(islice(merged, most)), is_missing

    def _of(self, model: str | None) -> list[_Tail]:
        if model is None:
            return list(self._tails.values())
        tail = self._tails.get(model)
        return [] if tail is None else [tail]


class ModelEventHandler(logging.Handler):
    """Adds what the server logs of a model: records with the attribute `model`."""

    def __init__(self, lines: ModelLines) -> None:
        super().__init__(logging.INFO)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        model = getattr(record, "model", None)
        if model is None or getattr(record, "is_output", False):
            return
        worker = getattr(record, "thread_name", "")
        for text in record.getMessage().splitlines() or [""]:
            self._lines.add(model, worker, "server", record.levelno, record.name, text)
