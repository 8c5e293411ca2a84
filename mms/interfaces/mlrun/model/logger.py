"""A logger that takes fields beside its message, as MLRun's and nuclio's do."""

from __future__ import annotations

import sys
import time
from typing import Any

from mms.text.brief import brief

LEVELS = {"debug": 10, "info": 20, "warn": 30, "warning": 30, "error": 40, "critical": 50}


class Logger:
    """Writes `> <time> [level] <message> {fields}`, one event a line (an exception's traceback follows it).

    Every level exists under its name and as `<level>_with`.
    """

    def __init__(
        self, name: str = "mlrun", level: str = "info", fields: dict[str, Any] | None = None
    ) -> None:
        self.name = name
        self.set_logger_level(level)
        self._fields = fields or {}

    def __repr__(self) -> str:
        return f"<Logger {self.name}, level {self._level_name}>"

    @property
    def level(self) -> int:
        return self._level

    def set_logger_level(self, level: str) -> None:
        """Set the level. Raises ValueError for one that is none."""
        name = str(level).lower()
        if name not in LEVELS:
            raise ValueError(f"the log level {brief(level)} is not one of {', '.join(LEVELS)}")
        self._level_name = name
        self._level = LEVELS[name]

    def bind(self, **fields: Any) -> Logger:
        """Return the same logger with fields that go with all its messages."""
        return Logger(self.name, self._level_name, {**self._fields, **fields})

    def get_child(self, suffix: str) -> Logger:
        return Logger(f"{self.name}.{suffix}", self._level_name, dict(self._fields))

    getChild = get_child

    def debug(self, message: Any, *args: Any, **fields: Any) -> None:
        self._write("debug", message, args, fields)

    def info(self, message: Any, *args: Any, **fields: Any) -> None:
        self._write("info", message, args, fields)

    def warning(self, message: Any, *args: Any, **fields: Any) -> None:
        self._write("warning", message, args, fields)

    def error(self, message: Any, *args: Any, **fields: Any) -> None:
        self._write("error", message, args, fields)

    def exception(self, message: Any, *args: Any, **fields: Any) -> None:
        """Log an error, and the traceback of the exception that is handled."""
        fields.setdefault("exc_info", True)
        self._write("error", message, args, fields)

    warn = warning
    debug_with = debug
    info_with = info
    warn_with = warning
    warning_with = warning
    error_with = error
    exception_with = exception

    def _write(
        self, level: str, message: Any, args: tuple[Any, ...], fields: dict[str, Any]
    ) -> None:
        if LEVELS[level] < self._level:
            return
        exception = fields.pop("exc_info", None)
        text = str(message)
        if args:
            try:
                text = text % args
            except (TypeError, ValueError):
                text = " ".join([text, *map(str, args)])
        now = time.time()
        clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
        line = f"> {clock},{int(now % 1 * 1000):03d} [{level}] {text}"
        if self._fields or fields:
            line += f" {_json({**self._fields, **fields})}"
        if exception:
            line += f"\n{_traceback(exception)}"
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def _json(fields: dict[str, Any]) -> str:
    import json

    try:
        return json.dumps(fields, default=str, skipkeys=True)
    except ValueError:
        # A circle.
        return repr(fields)


def _traceback(exception: Any) -> str:
    import traceback

    error = exception if isinstance(exception, BaseException) else sys.exc_info()[1]
    if error is None:
        return "no exception is handled"
    return "".join(traceback.format_exception(type(error), error, error.__traceback__)).rstrip("\n")
