from __future__ import annotations

import logging
from pathlib import Path

import pytest

from mms.errors import ConfigurationError
from mms.observe.log_files.log_config import LogConfig, read_log_config


def _read(folder: Path, text: str) -> LogConfig:
    path = folder / "config"
    path.write_text(text, "utf-8")
    return read_log_config(path)


def test_levels_are_taken_from_log4j_2_xml(tmp_path: Path) -> None:
    config = _read(
        tmp_path,
        """<?xml version="1.0" encoding="UTF-8"?>
        <Configuration><Appenders><Console name="STDOUT"/></Appenders><Loggers>
          <Logger name="ACCESS_LOG" level="off"><AppenderRef ref="STDOUT"/></Logger>
          <AsyncLogger name="com.amazonaws.ml.mms" level="Warn"/>
          <Logger name="io.netty" level="error"/>
          <Root level="error"/>
        </Loggers></Configuration>""",
    )
    assert config.python is None
    assert config.levels == {
        "ACCESS_LOG": logging.CRITICAL + 10,
        "com.amazonaws.ml.mms": logging.WARNING,
        "": logging.ERROR,
    }


def test_levels_are_taken_from_log4j_1_xml(tmp_path: Path) -> None:
    config = _read(
        tmp_path,
        """<log4j:configuration xmlns:log4j="http://jakarta.apache.org/log4j/">
        <logger name="MMS_METRICS"><level value="warn"/></logger>
        <root><level value="info"/></root></log4j:configuration>""",
    )
    assert config.levels == {"MMS_METRICS": logging.WARNING, "": logging.INFO}


@pytest.mark.parametrize(
    "text",
    [
        "log4j.rootLogger = WARN, console\nlog4j.logger.com.amazonaws.ml.mms.wlm=ERROR, console\n",
        """appenders = console
        rootLogger.level: warn
        logger.a.name=com.amazonaws.ml.mms.wlm
        logger.a.level = error""",
    ],
    ids=["log4j 1", "log4j 2"],
)
def test_levels_are_taken_from_log4j_properties(tmp_path: Path, text: str) -> None:
    config = _read(tmp_path, text)
    assert config.python is None
    assert config.levels == {"": logging.WARNING, "com.amazonaws.ml.mms.wlm": logging.ERROR}


@pytest.mark.parametrize("text", ["<Configuration><Loggers>", "<not xml", "log4j.whatever=x\n"])
def test_a_log4j_file_that_says_nothing_usable_is_accepted(tmp_path: Path, text: str) -> None:
    assert _read(tmp_path, text).levels == {}


@pytest.mark.parametrize("text", ['{"configuration": {}}', "Configuration:\n  status: warn\n"])
def test_log4j_s_own_json_and_yaml_are_accepted(tmp_path: Path, text: str) -> None:
    assert _read(tmp_path, text).python is None


@pytest.mark.parametrize(
    "text",
    [
        "version: 1\nroot:\n  level: DEBUG\n  handlers: [h]\nloggers:\n  ACCESS_LOG: {level: INFO}\n",
        '{"version": 1, "root": {"level": "DEBUG", "handlers": ["h"]}, "loggers": {"ACCESS_LOG": {}}}',
    ],
    ids=["YAML", "JSON"],
)
def test_a_python_configuration_is_recognised(tmp_path: Path, text: str) -> None:
    config = _read(tmp_path, text)
    assert config.python is not None
    assert config.python["disable_existing_loggers"] is False
    assert config.has_root_handlers
    assert config.named_loggers == {"ACCESS_LOG"}


def test_a_python_configuration_without_root_handlers_leaves_the_server_log_where_it_is(
    tmp_path: Path,
) -> None:
    assert not _read(tmp_path, "version: 1\nroot: {level: DEBUG}\n").has_root_handlers


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("version: 2\n", "needs `version: 1`, this file has 2"),
        ("loggers: {}\n", "needs `version: 1`, this file has None"),
        ("- a\n- list\n", "not a Python logging configuration"),
        ("{broken", "not a Python logging configuration"),
        ("a: [\n", "not a Python logging configuration"),
        ("", "not a Python logging configuration"),
    ],
)
def test_what_configures_no_logging_is_refused_with_the_file_and_the_reason(
    tmp_path: Path, text: str, reason: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        _read(tmp_path, text)
    assert str(tmp_path / "config") in str(refused.value)
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.yaml cannot be read"):
        read_log_config(tmp_path / "absent.yaml")
