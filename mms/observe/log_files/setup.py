"""Sets up the five log files, standard output and Python's logging, and takes them down again.

Lines reach the files in two ways: records of Python's logging through a handler that only formats and buffers, and
the recorder's lines in bulk. `Logs.flush` brings both to the writer, and the server's log is in order of time.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO

from mms.errors import ConfigurationError
from mms.interfaces import DEFAULT
from mms.log_writer.dates import LineDates
from mms.log_writer.descriptor_links import own_descriptor
from mms.log_writer.json_lines import TEXT
from mms.log_writer.lines import BY_TIME, STDOUT, Lines, plain_lines
from mms.log_writer.process_writer import ProcessWriter
from mms.log_writer.sink import report_to_stderr
from mms.log_writer.writer import LogWriter, ThreadWriter
from mms.observe import logger_names

if TYPE_CHECKING:
    from mms.observe.log_files.log_config import LogConfig

LAYOUT_QLOG = "qlog"
_PROGRAM_VARIABLE, _PROGRAM = DEFAULT.qlog_program

WRITER_PROCESS = "process"
WRITER_THREAD = "thread"

_STDOUT_FD = 1
_STDERR_FD = 2
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
    """The five files; the value is the file's name, where a server has no other one for it."""

    ACCESS = "access_log.log"
    MMS = "mms_log.log"
    MODEL = "model_log.log"
    MMS_METRICS = "mms_metrics.log"
    MODEL_METRICS = "model_metrics.log"


#: Each file's bit for what writes.
OUTPUTS = {file: 1 << index for index, file in enumerate(LogFile)}


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
    @property
    def log_writer(self) -> str: ...
    @property
    def trace_access_log(self) -> bool: ...
    @property
    def log_file_names(self) -> Mapping[str, str]: ...


@dataclass(slots=True)
class LogOptions:
    """What the settings and the environment say about logs. Folders may be relative to the current directory."""

    log_dir: Path = Path("logs")
    metrics_dir: Path = Path("logs")
    has_stdout: bool = True
    has_access_log: bool = True
    has_metrics: bool = True
    #: `text`, `json`, or `qlog`, which is text but for the two metrics files.
    layout: str = TEXT
    #: `<program>:<domain>:<realm>` of qlog records; "" leaves the line out.
    marketplace: str = ""
    program: str = _PROGRAM
    config_path: Path | None = None
    #: What writes: `process` or `thread`.
    writer: str = WRITER_THREAD
    #: A line for each batch, besides those of its requests.
    has_batch_lines: bool = True
    #: Access lines end with the trace of their request.
    names_traces: bool = False
    #: Other names of files, by the usual ones.
    file_names: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, settings: LogSettings, environ: Mapping[str, str], is_by_hand: bool = False
    ) -> LogOptions:
        """Read the settings and MMS's LOG_LOCATION, METRICS_LOCATION, REALM, DOMAIN, and the one of the program.

        `is_by_hand`: somebody reads the lines, of whom each request has one.
        """
        program = environ.get(_PROGRAM_VARIABLE) or _PROGRAM
        realm = environ.get("REALM")
        domain = environ.get("DOMAIN") or "Unknown"
        return cls(
            log_dir=Path(environ.get("LOG_LOCATION") or "logs"),
            metrics_dir=Path(environ.get("METRICS_LOCATION") or "logs"),
            has_stdout=settings.log_to_stdout,
            has_access_log=settings.access_log,
            has_metrics=settings.metrics,
            layout=settings.log_layout,
            marketplace=f"{program}:{domain}:{realm}" if realm else "",
            program=program,
            config_path=Path(settings.log_config) if settings.log_config else None,
            writer=settings.log_writer,
            has_batch_lines=not is_by_hand,
            names_traces=settings.trace_access_log,
            file_names=settings.log_file_names,
        )


class Logs:
    """The files, standard output, and the buffer in front of them.

    Any thread may log; a lock guards what is buffered. Formatting happens in the caller's thread, writing in another
    process or in threads, so nothing here waits for a disk or for a reader.
    """

    def __init__(
        self, options: LogOptions, *, stdout_fd: int = _STDOUT_FD, stderr_fd: int = _STDERR_FD
    ) -> None:
        self.options = options
        #: False where a Python logging configuration has its own place for server log lines.
        self.has_server_log = True
        #: Loggers of bulk lines that a Python logging configuration wants to see too.
        self.forwarded: dict[str, logging.Logger] = {}
        self._writer = self._make_writer(stdout_fd, stderr_fd)
        self._lock = threading.RLock()
        #: The server's log, and standard output where it has a copy.
        self.server_log = OUTPUTS[LogFile.MMS] | (STDOUT if options.has_stdout else 0) | BY_TIME
        self._lines: list[Lines] = []

    def __repr__(self) -> str:
        return f"<Logs in {self.options.log_dir} and {self.options.metrics_dir}>"

    def _make_writer(self, stdout_fd: int, stderr_fd: int) -> LogWriter:
        names = self.options.file_names
        paths = [self._folder(file) / names.get(file.value, file.value) for file in LogFile]

        def report(text: str) -> None:
            report_to_stderr(text, stderr_fd)

        own = [path for path in paths if own_descriptor(path) is not None]
        if self.options.writer == WRITER_PROCESS and own:
            report(
                f"{own[0]} is a link to an open file that only the server has (descriptor {own_descriptor(own[0])}): "
                "threads of the server write the log, as with log_writer=thread."
            )
        elif self.options.writer == WRITER_PROCESS:
            try:
                return ProcessWriter(paths, stdout_fd, stderr_fd, layout=self.options.layout)
            except OSError as error:
                report(
                    f"the process that writes the log cannot be started ({error.strerror or error}); threads of the "
                    "server write it."
                )
        return ThreadWriter(paths, stdout_fd, layout=self.options.layout, report=report)

    @property
    def dropped_lines(self) -> int:
        """Lines that no file and no reader took, since the start."""
        return self._writer.dropped_lines

    @property
    def pause_s(self) -> float:
        """How long text had better be gathered between two flushes of a busy server."""
        return self._writer.pause_s

    @property
    def is_behind(self) -> bool:
        """Whether another flush is to come soon, as the last one could not hand on all."""
        return self._writer.is_behind

    def create_files(self) -> None:
        """Make the five files, empty where nothing is there; one that was moved away is left for a new one."""
        self._writer.put([plain_lines(sum(OUTPUTS.values()), "")])

    def add(self, lines: Lines) -> None:
        """Buffer lines until the next `flush`."""
        with self._lock:
            self._lines.append(lines)

    def add_text(self, at_ms: int, outputs: int, text: str) -> None:
        """Buffer whole lines as they are. `at_ms`: milliseconds since the epoch."""
        self.add(plain_lines(outputs, text, at_ms))

    def flush(self) -> None:
        """Hand everything buffered to what writes: one write for a file."""
        with self._lock:
            lines, self._lines = self._lines, []
            if lines or self._writer.is_behind:
                self._writer.put(lines)

    def announce(self, text: str) -> None:
        """A bare line for whoever waits on standard output, in any setting, after all that was logged before."""
        with self._lock:
            self.flush()
            self._writer.put([plain_lines(STDOUT, text + "\n")])

    def wait_until_written(self, timeout_s: float = 5.0) -> bool:
        """Wait until all that was flushed is written. For tests and for the end of the process."""
        return self._writer.wait_until_written(timeout_s)

    def close(self) -> None:
        """Write everything and close the files. Takes a few seconds at most, even where an output is stuck."""
        self.flush()
        self._writer.close()

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
            logs = self._logs
            is_for_files = getattr(record, "is_for_files", False)
            outputs = OUTPUTS[LogFile.MMS] | BY_TIME if is_for_files else logs.server_log
            logs.add_text(int(record.created * 1000), outputs, self.format(record))
            if record.levelno >= logging.WARNING:
                self._logs.flush()
        except Exception:
            # Logging's own rule: a record that cannot be formatted is reported on stderr, its caller goes on.
            self.handleError(record)

    def flush(self) -> None:
        self._logs.flush()


_PLAIN = logging.Formatter()


class LoggingSetup:
    """What `configure_logging` changed in Python's logging, to be taken back by `close`."""

    def __init__(self, logs: Logs) -> None:
        self.logs = logs
        self._handlers: list[logging.Handler] = []
        self._levels: dict[str, int] = {}
        atexit.register(self.close)

    def close(self) -> None:
        """Write and close everything; log records of later go where Python's logging puts them by default."""
        atexit.unregister(self.close)
        for handler in self._handlers:
            logging.getLogger().removeHandler(handler)
        self._handlers.clear()
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

    def add_handler(self, handler: logging.Handler) -> None:
        """Have a handler get all records."""
        self._handlers.append(handler)
        logging.getLogger().addHandler(handler)


def _close_stream(handler: logging.FileHandler) -> None:
    """Have a handler open its file again for its next record."""
    with handler.lock or contextlib.nullcontext():
        stream: TextIO | None = handler.stream
        if stream is not None:
            handler.stream = None  # what its own emit looks for
            stream.close()


def configure_logging(
    options: LogOptions, *, stdout_fd: int = _STDOUT_FD, stderr_fd: int = _STDERR_FD
) -> LoggingSetup:
    """Open the files and route Python's logging into them. Raises ConfigurationError for a bad `--log-config`."""
    config: LogConfig | None = None
    if options.config_path is not None:
        from mms.observe.log_files.log_config import (
            read_log_config,  # parsers that most starts do not need
        )

        config = read_log_config(options.config_path)
    setup = LoggingSetup(Logs(options, stdout_fd=stdout_fd, stderr_fd=stderr_fd))
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
        setup.add_handler(ServerLogHandler(setup.logs))
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
