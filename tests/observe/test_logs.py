from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.waiting import eventually

from mms.errors import ConfigurationError
from mms.observe.log_files.setup import WRITER_PROCESS, WRITER_THREAD, LogFile, LogOptions
from mms.processes.launch_options import STARTED

from .conftest import WrittenLogs

_DATE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d,\d{3}"


@pytest.fixture(params=[WRITER_PROCESS, WRITER_THREAD])
def log_writer(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def keep_root_handlers() -> Iterator[None]:
    """dictConfig replaces the handlers of the root logger, which belong to pytest."""
    root = logging.getLogger()
    handlers = root.handlers[:]
    yield
    for handler in root.handlers[:]:
        root.removeHandler(handler)
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers


def test_the_five_files_are_there_from_the_start(written: WrittenLogs) -> None:
    written.configure()
    for file in LogFile:
        assert written.read(file) == ""


def test_a_record_has_the_pattern_of_mms_in_the_file_and_on_standard_output(
    written: WrittenLogs,
) -> None:
    written.configure()
    logging.getLogger("com.amazonaws.ml.mms.ModelServer").info("hello %s", "you")
    text = written.read(LogFile.MMS)
    assert re.fullmatch(
        rf"{_DATE} \[INFO \] main com\.amazonaws\.ml\.mms\.ModelServer - hello you\n", text
    )
    assert written.stdout() == text


@pytest.mark.parametrize(
    ("level", "word"),
    [
        (logging.DEBUG, "[DEBUG]"),
        (logging.INFO, "[INFO ]"),
        (logging.WARNING, "[WARN ]"),
        (logging.ERROR, "[ERROR]"),
        (logging.CRITICAL, "[FATAL]"),
        (25, "[Level]"),
    ],
)
def test_levels_are_five_characters_wide(written: WrittenLogs, level: int, word: str) -> None:
    written.configure()
    logging.getLogger("mms.some").log(level, "text")
    assert f" {word} main " in written.read(LogFile.MMS)


def test_the_package_s_loggers_are_shown_under_mms_s_name(written: WrittenLogs) -> None:
    written.configure()
    logging.getLogger("mms.launch.process").info("a")
    logging.getLogger("mmsx").info("b")
    text = written.read(LogFile.MMS)
    assert " com.amazonaws.ml.mms.launch.process - a\n" in text
    assert " mmsx - b\n" in text


def test_the_server_logs_from_debug_on_and_others_from_info_on(written: WrittenLogs) -> None:
    written.configure()
    logging.getLogger("mms.any").debug("ours")
    logging.getLogger("com.amazonaws.ml.mms.Any").debug("also ours")
    logging.getLogger("library").debug("not shown")
    text = written.read(LogFile.MMS)
    assert "ours" in text
    assert "also ours" in text
    assert "not shown" not in text


def test_the_thread_column_can_be_given_by_the_caller(written: WrittenLogs) -> None:
    written.configure()
    logging.getLogger("mms.a").info("given", extra={"thread_name": "W-noop-1"})
    thread = threading.Thread(target=logging.getLogger("mms.a").info, args=("own",), name="t-7")
    thread.start()
    thread.join()
    text = written.read(LogFile.MMS)
    assert " [INFO ] W-noop-1 com.amazonaws.ml.mms.a - given\n" in text
    assert " [INFO ] t-7 com.amazonaws.ml.mms.a - own\n" in text


def test_a_traceback_follows_its_line(written: WrittenLogs) -> None:
    written.configure()
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("mms.a").exception("failed")
    lines = written.read(LogFile.MMS).splitlines()
    assert lines[0].endswith(" - failed")
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: broken"


def test_lines_come_in_the_order_of_their_times(written: WrittenLogs) -> None:
    logs = written.configure().logs
    logs.add_text(3000, logs.server_log, "third\n")
    logs.add_text(1000, logs.server_log, "first\n")
    logs.add_text(2000, logs.server_log, "second\n")
    logs.add_text(2000, logs.server_log, "second too\n")
    assert written.read(LogFile.MMS) == "first\nsecond\nsecond too\nthird\n"


def test_information_waits_for_the_flush_and_a_warning_does_not(written: WrittenLogs) -> None:
    logs = written.configure().logs
    path = written.folder / LogFile.MMS.value
    logging.getLogger("mms.a").info("waits")
    assert logs.wait_until_written(5)
    assert path.read_text() == ""
    logging.getLogger("mms.a").warning("goes")
    eventually("the line is written", lambda: "goes" in path.read_text())
    assert "waits" in path.read_text()


def test_the_copies_on_standard_output_can_be_turned_off(written: WrittenLogs) -> None:
    setup = written.configure(has_stdout=False)
    logging.getLogger("mms.a").info("text")
    setup.logs.announce(STARTED)
    assert "text" in written.read(LogFile.MMS)
    assert written.stdout() == "Model server started.\n"


def test_an_announcement_comes_after_what_was_logged_before(written: WrittenLogs) -> None:
    setup = written.configure()
    logging.getLogger("mms.a").info("text")
    setup.logs.announce(STARTED)
    assert written.stdout().splitlines()[1] == "Model server started."
    assert STARTED not in written.read(LogFile.MMS)


def test_text_that_is_no_utf_8_is_escaped(
    written: WrittenLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    written.configure()
    root = logging.getLogger()
    # A report with this text could not be sent from one process of pytest to another.
    own = [h for h in root.handlers if type(h).__module__ != "_pytest.logging"]
    monkeypatch.setattr(root, "handlers", own)
    logging.getLogger("mms.a").info("Zürich \udcff")
    assert written.read(LogFile.MMS).endswith("Zürich \\udcff\n")


def test_close_writes_what_is_buffered_and_leaves_python_s_logging_as_it_was(
    written: WrittenLogs,
) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    setup = written.configure()
    logging.getLogger("mms.a").info("last words")
    setup.close()
    assert "last words" in (written.folder / LogFile.MMS.value).read_text()
    assert root.handlers == handlers
    assert root.level == level


def test_metrics_may_have_a_folder_of_their_own(written: WrittenLogs) -> None:
    setup = written.configure(metrics_dir=written.folder / "elsewhere")
    assert setup.logs.wait_until_written(5)
    assert {p.name for p in (written.folder / "elsewhere").iterdir()} == {
        "mms_metrics.log",
        "model_metrics.log",
    }
    assert not (written.folder / "mms_metrics.log").exists()


_SETTINGS = SimpleNamespace(
    trace_access_log=True,
    log_file_names={},
    log_to_stdout=False,
    access_log=True,
    metrics=True,
    log_layout="text",
    log_config=None,
    log_writer="process",
)


def test_the_folders_come_from_the_environment() -> None:
    options = LogOptions.of(_SETTINGS, {"LOG_LOCATION": "/a", "METRICS_LOCATION": "/b"})
    assert (options.log_dir, options.metrics_dir) == (Path("/a"), Path("/b"))
    options = LogOptions.of(_SETTINGS, {"LOG_LOCATION": ""})
    assert (options.log_dir, options.metrics_dir) == (Path("logs"), Path("logs"))


def test_the_query_log_s_words_come_from_the_environment() -> None:
    assert LogOptions.of(_SETTINGS, {}).marketplace == ""
    assert LogOptions.of(_SETTINGS, {}).program == "MXNetModelServer"
    options = LogOptions.of(_SETTINGS, {"REALM": "r", "MXNETMODELSERVER_PROGRAM": "p"})
    assert options.marketplace == "p:Unknown:r"
    options = LogOptions.of(_SETTINGS, {"REALM": "r", "DOMAIN": "d"})
    assert options.marketplace == "MXNetModelServer:d:r"


def _config(written: WrittenLogs, text: str) -> Path:
    path = written.folder / "log.config"
    path.write_text(text, "utf-8")
    return path


def test_a_log4j_file_is_acknowledged_in_one_line_and_its_levels_hold(
    written: WrittenLogs,
) -> None:
    path = _config(
        written,
        '<Configuration><Logger name="com.amazonaws.ml.mms" level="info"/></Configuration>',
    )
    written.configure(config_path=path)
    logging.getLogger("mms.a").debug("hidden")
    logging.getLogger("com.amazonaws.ml.mms.A").debug("hidden")
    text = written.read(LogFile.MMS)
    assert len(text.splitlines()) == 1
    assert str(path) in text
    assert "have no effect" in text


def test_a_python_configuration_with_root_handlers_gets_the_server_s_lines(
    written: WrittenLogs, keep_root_handlers: None
) -> None:
    own = written.folder / "own.log"
    path = _config(
        written,
        f"""
version: 1
formatters: {{f: {{format: "%(levelname)s|%(name)s|%(message)s"}}}}
handlers: {{h: {{class: logging.FileHandler, filename: "{own}", formatter: f}}}}
root: {{level: INFO, handlers: [h]}}
""",
    )
    written.configure(config_path=path)
    logging.getLogger("mms.a").warning("text")
    assert own.read_text() == "WARNING|mms.a|text\n"
    assert written.read(LogFile.MMS) == ""
    assert written.stdout() == ""


def test_a_python_configuration_of_levels_alone_keeps_the_server_log(
    written: WrittenLogs, keep_root_handlers: None
) -> None:
    path = _config(written, '{"version": 1, "loggers": {"mms": {"level": "ERROR"}}}')
    written.configure(config_path=path)
    logging.getLogger("mms.a").warning("hidden")
    logging.getLogger("mms.a").error("shown")
    text = written.read(LogFile.MMS)
    assert "shown" in text
    assert "hidden" not in text


def test_a_python_configuration_that_cannot_be_applied_is_refused_with_the_reason(
    written: WrittenLogs, keep_root_handlers: None
) -> None:
    path = _config(written, "version: 1\nhandlers: {h: {class: no.such.Handler}}\n")
    with pytest.raises(ConfigurationError) as refused:
        written.configure(config_path=path)
    assert str(path) in str(refused.value)
    assert "no.such" in str(refused.value)


def test_a_log_folder_that_cannot_be_written_is_told_on_standard_error_and_nothing_breaks(
    written: WrittenLogs,
) -> None:
    blocked = written.folder / "blocked"
    blocked.write_text("")
    setup = written.configure(log_dir=blocked, metrics_dir=blocked)
    logging.getLogger("mms.a").warning("text")
    assert setup.logs.wait_until_written(5)
    assert len(written.reports) == 5
    assert all("Serving goes on" in report for report in written.reports)
    assert "text" in written.stdout()
