"""Sets up the five log files, standard output and Python's logging, and takes them down again.

Lines reach the files in two ways: records of Python's logging through a handler that only formats and buffers, and
the recorder's bulk text. `Logs.flush` brings both to the writer thread in order of time.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO

from mms.errors import ConfigurationError
from mms.interfaces import DEFAULT
from mms.observe import logger_names
from mms.observe.log_files.dates import LineDates
from mms.observe.log_files.line_writer import LineWriter, Sink, StreamSink
from mms.observe.log_files.rotating_file import RotatingFile, report_to_stderr

if TYPE_CHECKING:
    from mms.observe.log_files.log_config import LogConfig

LAYOUT_PLAIN = "plain"
LAYOUT_QLOG = "qlog"
_PROGRAM_VARIABLE, _PROGRAM = DEFAULT.qlog_program

#: Log text in memory while files, or the reader of standard output, do not keep up.
_FILES_LIMIT_BYTES = 64 * 1024 * 1024
_STDOUT_LIMIT_BYTES = 16 * 1024 * 1024
#: How long an end of the server waits for them.
_FILES_CLOSE_S = 5.0
_STDOUT_CLOSE_S = 2.0

_STDOUT_FD = 1
#: log4j's words, as they stand in the lines.
_LEVEL_WORDS = {
    logging.DEBUG: "DEBUG",
    logging.INFO: "INFO ",
    logging.WARNING: "WARN ",
    logging.ERROR: "ERROR",
    logging.CRITICAL: "FATAL",
}


def level_word(level: int) -> str:
    """Return the word for a level; one between two of Python's has that of the lower one."""
    return _LEVEL_WORDS[min(max(level // 10 * 10, logging.DEBUG), logging.CRITICAL)]


class LogFile(Enum):
    """The five files; the value is the file's name."""

    ACCESS = "access_log.log"
    MMS = "mms_log.log"
    MODEL = "model_log.log"
    MMS_METRICS = "mms_metrics.log"
    MODEL_METRICS = "model_metrics.log"


class LogSettings(Protocol):
    """The settings that matter here."""

    @property
    def log_to_stdout(self) -> bool: ...
    @property
    def access_log(self) -> bool: ...
    @property
    def metrics(self) -> bool: ...
    @property
    def log_layout(self) -> str: ...
    @property
    def log_config(self) -> str | Path | None: ...


@dataclass(slots=True)
class LogOptions:
    """What the settings and the environment say about logs. Folders may be relative to the current directory."""

    log_dir: Path = Path("logs")
    metrics_dir: Path = Path("logs")
    has_stdout: bool = True
    has_access_log: bool = True
    has_metrics: bool = True
    #: Of the two metrics files: `plain` or `qlog`.
    metrics_layout: str = LAYOUT_PLAIN
    #: `<program>:<domain>:<realm>` of qlog records; "" leaves the line out.
    marketplace: str = ""
    program: str = _PROGRAM
    config_path: Path | None = None

    @classmethod
    def of(cls, settings: LogSettings, environ: Mapping[str, str]) -> LogOptions:
        """Read the settings and MMS's LOG_LOCATION, METRICS_LOCATION, REALM, DOMAIN, and the one of the program."""
        program = environ.get(_PROGRAM_VARIABLE) or _PROGRAM
        realm = environ.get("REALM")
        domain = environ.get("DOMAIN") or "Unknown"
        return cls(
            log_dir=Path(environ.get("LOG_LOCATION") or "logs"),
            metrics_dir=Path(environ.get("METRICS_LOCATION") or "logs"),
            has_stdout=settings.log_to_stdout,
            has_access_log=settings.access_log,
            has_metrics=settings.metrics,
            metrics_layout=settings.log_layout,
            marketplace=f"{program}:{domain}:{realm}" if realm else "",
            program=program,
            config_path=Path(settings.log_config) if settings.log_config else None,
        )


class Logs:
    """The files, standard output, and the buffer in front of them.

    Any thread may log; a lock guards what is buffered. Formatting happens in the caller's thread, writing in one thread
    for the files and one for standard output, so nothing here waits for a disk or for a reader.
    """

    def __init__(
        self,
        options: LogOptions,
        *,
        stdout_fd: int = _STDOUT_FD,
        report: Callable[[str], None] = report_to_stderr,
    ) -> None:
        self.options = options
        #: False where a Python logging configuration has its own place for server log lines.
        self.has_server_log = True
        #: Loggers of bulk lines that a Python logging configuration wants to see too.
        self.forwarded: dict[str, logging.Logger] = {}
        self._files = LineWriter("log-files", _FILES_LIMIT_BYTES, report=report)
        self._stdout = LineWriter("log-stdout", _STDOUT_LIMIT_BYTES, report=report)
        self._stdout_sink: Sink = StreamSink(stdout_fd, report=report)
        self._sinks: dict[LogFile, RotatingFile] = {
            file: RotatingFile(self._folder(file) / file.value, report=report) for file in LogFile
        }
        self._lock = threading.RLock()
        self._lines: list[tuple[int, str]] = []
        self._texts: dict[LogFile, list[str]] = {file: [] for file in LogFile}

    def __repr__(self) -> str:
        return f"<Logs in {self.options.log_dir} and {self.options.metrics_dir}>"

    @property
    def dropped_lines(self) -> int:
        """Lines that no file and no reader took, since the start."""
        return (
            self._files.dropped_lines
            + self._stdout.dropped_lines
            + sum(sink.dropped_lines for sink in self._sinks.values())
        )

    def create_files(self) -> None:
        """Make the five files, empty where nothing is there; one that was moved away is left for a new one."""
        self._files.put([(sink, b"") for sink in self._sinks.values()])

    def add_line(self, milliseconds: int, text: str) -> None:
        """Buffer text for the server log, whole lines; the next `flush` puts all in order of time."""
        with self._lock:
            self._lines.append((milliseconds, text))

    def add_text(self, file: LogFile, text: str) -> None:
        """Buffer text for one file, whole lines, as it is."""
        with self._lock:
            self._texts[file].append(text)

    def flush(self) -> None:
        """Hand everything buffered to the writer threads: one write for a file."""
        with self._lock:
            lines, self._lines = self._lines, []
            items: list[tuple[Sink, bytes]] = []
            if lines:
                lines.sort(key=itemgetter(0))
                data = _encode("".join([text for _, text in lines]))
                items.append((self._sinks[LogFile.MMS], data))
                if self.options.has_stdout:
                    self._stdout.put([(self._stdout_sink, data)])
            for file, texts in self._texts.items():
                if texts:
                    items.append((self._sinks[file], _encode("".join(texts))))
                    texts.clear()
            if items:
                self._files.put(items)

    def announce(self, text: str) -> None:
        """A bare line for whoever waits on standard output, in any setting, after all that was logged before."""
        with self._lock:
            self.flush()
            self._stdout.put([(self._stdout_sink, _encode(text + "\n"))])

    def wait_until_written(self, timeout_s: float = 5.0) -> bool:
        """Wait until the threads have written all that was flushed. For tests and for the end of the process."""
        files_done = self._files.wait_until_written(timeout_s)
        return self._stdout.wait_until_written(timeout_s) and files_done

    def close(self) -> None:
        """Write everything and close the files. Takes a few seconds at most, even where an output is stuck."""
        self.flush()
        self._stdout.close(_STDOUT_CLOSE_S)
        self._files.close(_FILES_CLOSE_S)

    def _folder(self, file: LogFile) -> Path:
        is_metrics = file in (LogFile.MMS_METRICS, LogFile.MODEL_METRICS)
        return self.options.metrics_dir if is_metrics else self.options.log_dir


class ServerLogHandler(logging.Handler):
    """Makes MMS's line of a record: `<date> [<LEVEL>] <thread> <logger> - <message>`.

    The thread column is the record's attribute `thread_name` where the caller gave one through `extra`, else `main`
    for the main thread. Warnings and worse are flushed at once. A record whose `is_for_files` is true goes to the file
    alone.
    """

    def __init__(self, logs: Logs) -> None:
        super().__init__()
        self._logs = logs
        self._dates = LineDates()

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.exc_info and record.exc_info[0] is not None:
            message += "\n" + (self.formatter or _PLAIN).formatException(record.exc_info)
        if record.stack_info:
            message += "\n" + record.stack_info
        thread: str = getattr(record, "thread_name", None) or (
            "main" if record.threadName == "MainThread" else record.threadName or "unknown"
        )
        level = _LEVEL_WORDS.get(record.levelno) or f"{record.levelname:<5.5}"
        name = logger_names.display_name(record.name)
        date = self._dates.of(int(record.created * 1000))
        return f"{date} [{level}] {thread} {name} - {message}\n"

    def emit(self, record: logging.LogRecord) -> None:
        if record.name in logger_names.BULK_LOGGERS:
            # The recorder passed it on for other handlers; the line itself it has written.
            return
        try:
            if getattr(record, "is_for_files", False):
                self._logs.add_text(LogFile.MMS, self.format(record))
            else:
                self._logs.add_line(int(record.created * 1000), self.format(record))
            if record.levelno >= logging.WARNING:
                self._logs.flush()
        except Exception:
            # Logging's own rule: a record that cannot be formatted is reported on stderr, its caller goes on.
            self.handleError(record)

    def flush(self) -> None:
        self._logs.flush()


_PLAIN = logging.Formatter()


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


class LoggingSetup:
    """What `configure_logging` changed in Python's logging, to be taken back by `close`."""

    def __init__(self, logs: Logs) -> None:
        self.logs = logs
        self._handler: ServerLogHandler | None = None
        self._levels: dict[str, int] = {}
        atexit.register(self.close)

    def close(self) -> None:
        """Write and close everything; log records of later go where Python's logging puts them by default."""
        atexit.unregister(self.close)
        if self._handler is not None:
            logging.getLogger().removeHandler(self._handler)
            self._handler = None
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)
        self._levels.clear()
        self.logs.close()

    def reopen(self) -> None:
        """Open the files anew, those of a Python logging configuration, too: something may have moved them away."""
        self.logs.flush()
        self.logs.create_files()
        loggers = [logging.getLogger(), *map(logging.getLogger, logging.root.manager.loggerDict)]
        for handler in {handler for logger in loggers for handler in logger.handlers}:
            if isinstance(handler, logging.FileHandler):
                _close_stream(handler)

    def set_level(self, name: str, level: int) -> None:
        logger = logging.getLogger(name)
        self._levels.setdefault(name, logger.level)
        logger.setLevel(level)

    def install_handler(self) -> None:
        self._handler = ServerLogHandler(self.logs)
        logging.getLogger().addHandler(self._handler)


def _close_stream(handler: logging.FileHandler) -> None:
    """Have a handler open its file again for its next record."""
    with handler.lock or contextlib.nullcontext():
        stream: TextIO | None = handler.stream
        if stream is not None:
            handler.stream = None  # what its own emit looks for
            stream.close()


def configure_logging(
    options: LogOptions,
    *,
    stdout_fd: int = _STDOUT_FD,
    report: Callable[[str], None] = report_to_stderr,
) -> LoggingSetup:
    """Open the files and route Python's logging into them. Raises ConfigurationError for a bad `--log-config`."""
    config: LogConfig | None = None
    if options.config_path is not None:
        from mms.observe.log_files.log_config import (
            read_log_config,  # parsers that most starts do not need
        )

        config = read_log_config(options.config_path)
    setup = LoggingSetup(Logs(options, stdout_fd=stdout_fd, report=report))
    setup.set_level("", logging.INFO)
    for name in (logger_names.PACKAGE, logger_names.DISPLAY_PREFIX):
        setup.set_level(name, logging.DEBUG)
    for name in logger_names.BULK_LOGGERS:
        setup.set_level(name, logging.INFO)
    try:
        if config is not None:
            _apply(config, setup)
    except ConfigurationError:
        setup.close()
        raise
    if setup.logs.has_server_log:
        setup.install_handler()
    setup.logs.create_files()
    if config is not None and config.python is None:
        logging.getLogger(logger_names.MODEL_SERVER).info(
            "%s is a log4j configuration: levels of the server's loggers are taken from it, its appenders and "
            "layouts have no effect.",
            config.path,
        )
    return setup


def _apply(config: LogConfig, setup: LoggingSetup) -> None:
    for name, level in config.levels.items():
        setup.set_level(name, level)
        if name.startswith(logger_names.DISPLAY_PREFIX):
            setup.set_level(logger_names.PACKAGE + name[len(logger_names.DISPLAY_PREFIX) :], level)
    if config.python is None:
        return
    import logging.config  # brings sockets and queues along that nothing else needs

    try:
        logging.config.dictConfig(config.python)
    except (ValueError, TypeError, AttributeError, ImportError, OSError) as error:
        reason = f"{error}: {error.__cause__}" if error.__cause__ else str(error)
        raise ConfigurationError(f"log config {config.path}: {reason}") from None
    setup.logs.has_server_log = not config.has_root_handlers
    for name in logger_names.BULK_LOGGERS:
        if name in config.named_loggers:
            setup.logs.forwarded[name] = logging.getLogger(name)
