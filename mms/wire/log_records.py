r"""A log record among the lines of a worker's output: `\x1e<level> <logger>\x1f<text>`. Sans-IO.

Records go the way of what the model prints, so that both stay in order, and a process that it forks can log, too.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MARK = "\x1e"
#: Begins the text of a metric among the lines, as handlers may print them. Programs read the rest.
METRIC_MARK = "[METRICS]"
_END = "\x1f"
_RECORD = re.compile(f"{MARK}([0-9]{{1,3}}) ([^{_END}]*){_END}(.*)", re.DOTALL)
#: What a logger's name shows as it is; it stands in a column of the log.
_UNFIT = re.compile(r"[^\w.:/\-]+")
_MAX_NAME_CHARS = 200
#: Longer lines of output are cut before they are read as records.
_MAX_TEXT_CHARS = 4096


class LogRecord(NamedTuple):
    """`level`: as in `logging`. `logger`: the name; empty for the root logger, and where a line is no record."""

    level: int
    logger: str
    text: str


def encode_record(level: int, logger: str, text: str, behind: str = "") -> str:
    """The lines of a record, each a record of its own, with their ends. `behind`: ends the text of each."""
    head = f"{MARK}{min(max(level, 0), 999)} {_fit(logger)}{_END}"
    most = _MAX_TEXT_CHARS - len(behind)
    lines: list[str] = []
    for line in text.splitlines() or [""]:
        starts = range(0, max(len(line), 1), most)
        lines += [f"{head}{line[start : start + most]}{behind}\n" for start in starts]
    return "".join(lines)


def decode_record(line: str) -> tuple[str, LogRecord | None]:
    """(what was printed before on the same line, the record). A line that is none comes back as it is."""
    if MARK not in line:
        return line, None
    printed, mark, rest = line.partition(MARK)
    found = _RECORD.fullmatch(mark + rest)
    if found is None:
        return line, None
    level, logger, text = found.groups()
    return printed, LogRecord(int(level), _fit(logger), text)


def _fit(logger: str) -> str:
    return "" if logger == "root" else _UNFIT.sub("_", logger)[:_MAX_NAME_CHARS]
