"""How settings come together: built-in defaults, the properties file, the command line, MMS_* variables."""

from __future__ import annotations

import difflib
import logging
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mms import properties
from mms.errors import ConfigurationError
from mms.launch_options import LaunchOptions
from mms.settings.values import OPTIONS, Settings

_VARIABLE = re.compile(r"\$\$([^$]{2,}?)\$\$")
_CONFIG_NAME = "config.properties"
_PREFIX = "Invalid configuration: "


def packaged_config(name: str) -> Path:
    """The file that a word stands for which may be given in place of a file, such as `sagemaker`."""
    return Path(__file__).resolve().parents[1] / "configs" / f"{name}_config.properties"


def load_settings(options: LaunchOptions, *, environ: Mapping[str, str]) -> Settings:
    """Raises ConfigurationError: one line that names file, line, key, value and what would be right."""
    settings = Settings()
    path = _config_path(options, environ)
    settings.config_file = str(path) if path else None
    text = properties.decode(path.read_bytes()) if path else ""
    for entry in _entries(text, path):
        value = _substituted(entry.value, environ)
        _set(settings, entry.key, value, f"{path}:{entry.line}")
    if options.model_store is not None:
        _set(settings, "model_store", options.model_store, "--model-store")
    if options.models:
        _set(settings, "load_models", ",".join(options.models), "--models")
    if settings.enable_envvars_config:
        for name, option in OPTIONS.items():
            variable = f"MMS_{name.upper()}"
            if option.has_variable and variable in environ:
                _set(settings, name, environ[variable], variable)
    _finish(settings, options, environ, text)
    return settings


def _config_path(options: LaunchOptions, environ: Mapping[str, str]) -> Path | None:
    named = environ.get("MMS_CONFIG_FILE") or options.mms_config
    if named == "sagemaker":
        return packaged_config("sagemaker")
    path = Path(named or _CONFIG_NAME)
    return path.absolute() if path.is_file() else None


def _entries(text: str, path: Path | None) -> list[properties.Property]:
    try:
        return properties.parse(text)
    except ValueError as error:
        raise ConfigurationError(f"{_PREFIX}{path}: {error}") from None


def _substituted(value: str, environ: Mapping[str, str]) -> str:
    def replace(match: re.Match[str]) -> str:
        if match[1] not in environ:
            raise ConfigurationError(f"{_PREFIX}Invalid Environment Variable {match[1]}")
        return environ[match[1]]

    return _VARIABLE.sub(replace, value)


def _set(settings: Settings, key: str, value: str, source: str) -> None:
    settings.raw[key] = value
    option = OPTIONS.get(key)
    if option is None:
        near = difflib.get_close_matches(key, OPTIONS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        settings.notices.append(
            (logging.WARNING, f"{source}: unknown setting {key} has no effect{hint}")
        )
        return
    if not value.strip() and option.kind.name not in ("text", "regular expression"):
        return
    try:
        converted = option.kind.convert(value)
    except ValueError as error:
        text = str(error)
        # An address brings MMS's own text along, which tools search for.
        reason = f"{text}; " if text.startswith(("Invalid ", "not a ")) else ""
        raise ConfigurationError(
            f"{_PREFIX}{reason}{source}: {key}={value} should be {option.kind.wanted}"
        ) from None
    if not option.has_effect:
        settings.notices.append(
            (logging.INFO, f"{source}: {key} is a setting of the Java server and has no effect")
        )
    if option.kind.name == "text" and not value and option.default == "":
        converted = None
    setattr(settings, key, converted)
    settings.sources[key] = source


def _finish(
    settings: Settings, options: LaunchOptions, environ: Mapping[str, str], text: str
) -> None:
    settings.log_config = options.log_config
    settings.temp_dir = environ.get("TEMP") or tempfile.gettempdir()
    settings.log_dir = environ.get("LOG_LOCATION") or "logs"
    settings.metrics_dir = environ.get("METRICS_LOCATION") or "logs"
    settings.is_sagemaker = "SAGEMAKER_" in text or any(v.startswith("SAGEMAKER_") for v in environ)
    if settings.initialize_errors is None:
        settings.initialize_errors = "ignore" if settings.is_sagemaker else "fail"
    if not settings.use_native_io and "unix" in (
        settings.inference_address.scheme,
        settings.management_address.scheme,
    ):
        raise ConfigurationError(f"{_PREFIX}unix domain socket requires use_native_io set to true.")
    home = environ.get("MODEL_SERVER_HOME")
    if home and not os.path.exists(home):
        raise ConfigurationError(f"{_PREFIX}Model server home not exist: {home}")
    if (settings.private_key_file is None) != (settings.certificate_file is None):
        raise ConfigurationError(
            f"{_PREFIX}private_key_file and certificate_file belong together; set both or none"
        )
