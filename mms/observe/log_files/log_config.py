"""Reads the file of `--log-config`: a Python logging configuration, or one that was written for log4j.

A Python configuration (YAML or JSON, the schema of `logging.config.dictConfig`) is applied. Of a log4j configuration
(XML, properties, JSON or YAML) the levels of MMS's loggers are taken; its appenders and layouts mean nothing here.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mms.errors import ConfigurationError
from mms.observe import logger_names
from mms.text.brief import brief

_LOG4J_LEVELS = {
    "off": logging.CRITICAL + 10,
    "fatal": logging.CRITICAL,
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": 5,
    "all": 1,
}
_PROPERTY = re.compile(r"^\s*([\w.\-]+)\s*[=:]\s*(.*?)\s*$", re.MULTILINE)
_LOG4J_PROPERTY_KEY = re.compile(
    r"(log4j\.|appenders?\b|loggers?\b|rootLogger\b|status$|packages$)"
)


@dataclass(slots=True)
class LogConfig:
    """What a file asks for. `python` is for dictConfig and None for a log4j file."""

    path: Path
    python: dict[str, Any] | None = None
    #: Level by logger; "" is the root.
    levels: dict[str, int] = field(default_factory=dict)

    @property
    def has_root_handlers(self) -> bool:
        """The file says where server log lines go, so our own files and standard output are not the place."""
        if self.python is None:
            return False
        root = self.python.get("root") or self.python.get("loggers", {}).get("") or {}
        return bool(root.get("handlers"))

    @property
    def named_loggers(self) -> frozenset[str]:
        """The loggers to which a Python configuration gives something of their own."""
        return frozenset((self.python or {}).get("loggers", {}))


def read_log_config(path: Path) -> LogConfig:
    """Read the file. Raises ConfigurationError where it cannot be read or cannot configure logging."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"log config {path} cannot be read: {error}") from None
    if text.lstrip("\ufeff \t\r\n").startswith("<"):
        return LogConfig(path, levels=_levels_of_xml(text))
    if _is_log4j_properties(text):
        return LogConfig(path, levels=_levels_of_properties(text))
    members = _parse_mapping(path, text)
    if any(key.lower() == "configuration" for key in members):
        return LogConfig(path)
    if members.get("version") != 1:
        raise ConfigurationError(
            f"log config {path}: a Python logging configuration needs `version: 1`, "
            f"this file has {brief(members.get('version'))}"
        )
    # Loggers that exist by now are the server's own; silencing them is never meant.
    return LogConfig(path, python={"disable_existing_loggers": False, **members})


def _parse_mapping(path: Path, text: str) -> dict[str, Any]:
    try:
        if text.lstrip().startswith("{"):
            members = json.loads(text)
        else:
            from mms.text.documents import read_yaml  # only for this one kind of file

            members = read_yaml(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"log config {path} is not a Python logging configuration (YAML or JSON) and no log4j "
            f"configuration (XML or properties): {error}"
        ) from None
    if not isinstance(members, dict):
        raise ConfigurationError(
            f"log config {path} is not a Python logging configuration (YAML or JSON with `version: 1`) "
            "and no log4j configuration (XML or properties)"
        )
    return members


def _is_log4j_properties(text: str) -> bool:
    matches = [m for m in _PROPERTY.finditer(text) if not m[0].lstrip().startswith(("#", "!"))]
    return any("=" in m[0] and _LOG4J_PROPERTY_KEY.match(m[1]) for m in matches)


def _is_known(name: str) -> bool:
    return (
        name == ""
        or name in (*logger_names.BULK_LOGGERS, logger_names.MODEL_LOG)
        or name == logger_names.DISPLAY_PREFIX
        or name.startswith(logger_names.DISPLAY_PREFIX + ".")
    )


def _add_level(levels: dict[str, int], name: str, level: str) -> None:
    number = _LOG4J_LEVELS.get(level.strip().lower())
    if number is not None and _is_known(name):
        levels[name] = number


def _levels_of_xml(text: str) -> dict[str, int]:
    """Return the levels of log4j 2 (`<Logger name level>`, `<Root level>`) and 1 (`<logger name><level value>`)."""
    from xml.etree import ElementTree  # only for this one kind of file

    levels: dict[str, int] = {}
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return levels
    for element in root.iter():
        tag = element.tag.rpartition("}")[2].lower()
        if tag not in ("logger", "asynclogger", "root", "asyncroot"):
            continue
        name = "" if tag.endswith("root") else element.get("name", "")
        level = element.get("level")
        if level is None:
            child = element.find("level")
            level = child.get("value") if child is not None else None
        if level is not None and (name or tag.endswith("root")):
            _add_level(levels, name, level)
    return levels


def _levels_of_properties(text: str) -> dict[str, int]:
    """Return the levels of log4j 2 (`logger.x.name`, `logger.x.level`) and 1 (`log4j.logger.name=LEVEL, appenders`)."""
    levels: dict[str, int] = {}
    properties = {m[1]: m[2] for m in _PROPERTY.finditer(text)}
    for key, value in properties.items():
        if key.startswith("log4j.logger."):
            _add_level(levels, key[len("log4j.logger.") :], value.split(",")[0])
        elif key in ("log4j.rootLogger", "rootLogger", "rootLogger.level"):
            _add_level(levels, "", value.split(",")[0])
        elif key.startswith("logger.") and key.endswith(".level"):
            name = properties.get(key[: -len("level")] + "name")
            if name:
                _add_level(levels, name, value)
    return levels
