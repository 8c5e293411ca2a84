"""The layout `json`: each record of the log as an object on a line, in every output. Made by what writes.

Members are read from the lines that the other layout has, so nobody who logs knows of layouts. A record whose text has
several lines, such as a traceback, is one object.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Sequence
from typing import Any, Final

from mms.log_writer.lines import BY_TIME, STDOUT, Form, Lines

TEXT, JSON = "text", "json"

#: The logger of lines that do not name it, by the place of their file in the list of files.
LOGGERS_OF_FILES: Final = {0: "ACCESS_LOG", 3: "MMS_METRICS", 4: "MODEL_METRICS"}

_SERVER_LINE = re.compile(r"\S+ \[([^\]]*)\] (.*?) (\S+) - (.*)", re.DOTALL)
_OWN_LINE = re.compile(r"\S+ - (.*)", re.DOTALL)
_ACCESS = re.compile(r'(\S*) "(\S+) (.*) (\S+)" (\d+) (\d+)', re.DOTALL)
_METRIC = re.compile(r"([^:|]+)\.([^.:|]+):([^|]*)((?:\|.*)?)", re.DOTALL)
#: What ends a line that is of one request, or of several.
_TRACE_WORD: Final = " trace_id="
_TRACE = re.compile(
    r"(.*) trace_id=([0-9a-f]{32}(?:,[0-9a-f]{32})*)(?: span_id=([0-9a-f]{16}))?", re.DOTALL
)
_WORKER = re.compile(r"(W-(.+)-\d+)(?:-(?:stdout|stderr))?", re.DOTALL)


def as_json(items: Sequence[Lines]) -> list[Lines]:
    """Return the same lines in this layout. What is no record, but for who waits on standard output, stays as it is."""
    found: list[Lines] = []
    for item in items:
        at_ms, body, count, times, forms = item
        if not count or not at_ms:
            found.append(item)
            continue
        for form in forms:
            outputs, before, behind = form
            # Without words around it, the text is a record.
            messages = body.split("\n") if before or behind else [body]
            lines = [_object(at_ms, form, f"{before}{message}{behind}") for message in messages]
            found.append((at_ms, "\n".join(lines), count, times, ((outputs, "", ""),)))
    return found


def _object(at_ms: int, form: Form, text: str) -> str:
    record: dict[str, Any] = {"time": _time(at_ms)}
    if form[0] & (STDOUT | BY_TIME) and (server := _SERVER_LINE.fullmatch(text)):
        level, thread, logger, message = server.groups()
        record |= {"level": level.strip(), "logger": logger, "thread": thread}
    else:
        own = _OWN_LINE.fullmatch(text)
        message = own[1] if own else text
        logger = LOGGERS_OF_FILES.get(form[0].bit_length() - 1, "")
        record |= {"level": "INFO", "logger": logger, "thread": "main"}
    worker = _WORKER.fullmatch(record["thread"])
    if worker:
        record |= {"worker": worker[1], "model": worker[2]}
    if _TRACE_WORD in message and (traced := _TRACE.fullmatch(message)):
        message, ids, span_id = traced.groups()
        trace_ids = ids.split(",")
        record |= {"trace_id": ids} if len(trace_ids) == 1 else {"trace_ids": trace_ids}
        record |= {"span_id": span_id} if span_id else {}
    record["message"] = message
    if logger == "ACCESS_LOG":
        record |= _access(message)
    elif logger in ("MMS_METRICS", "MODEL_METRICS"):
        record |= _metric(message)
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))


def _time(at_ms: int) -> str:
    seconds, ms = divmod(at_ms, 1000)
    when = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return f"{when:%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"


def _access(message: str) -> dict[str, Any]:
    found = _ACCESS.fullmatch(message)
    if found is None:
        return {}
    remote, method, uri, protocol, status, elapsed_ms = found.groups()
    return {
        "remote": remote.removeprefix("/"),
        "method": method,
        "uri": uri,
        "protocol": protocol,
        "status": int(status),
        "elapsed_ms": int(elapsed_ms),
    }


def _metric(message: str) -> dict[str, Any]:
    found = _METRIC.fullmatch(message)
    if found is None:
        return {}
    name, unit, value, rest = found.groups()
    try:
        number = float(value)
    except ValueError:
        return {}
    # JSON has neither NaN nor an infinity.
    is_number = number - number == 0
    metric: dict[str, Any] = {"metric": name, "unit": unit, "value": number if is_number else value}
    parts = rest.split("|#")
    if len(parts) > 1:
        metric["dimensions"] = dict(
            pair.split(":", 1) for pair in parts[1].split(",") if ":" in pair
        )
    if len(parts) > 2 and "requestID:" in parts[-1]:
        ids = parts[-1].partition("requestID:")[2]
        # The time stands behind them or before.
        metric["request_ids"] = [each for each in ids.split(",") if ":" not in each]
    return metric
