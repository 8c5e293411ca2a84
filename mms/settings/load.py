"""How settings come together: built-in defaults, the properties file, the command line, MMS_* variables."""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from mms.errors import ConfigurationError
from mms.processes.launch_options import LaunchOptions
from mms.settings.dialect import OWN, Dialect, dialect_of
from mms.settings.option import BOOLEAN, Option
from mms.settings.settings import Settings
from mms.settings.values import all_options
from mms.text import properties
from mms.text.brief import one_line
from mms.text.nearest import did_you_mean, nearest

_VARIABLE = re.compile(r"\$\$([^$]{2,}?)\$\$")
_CONFIG_NAME = "config.properties"
#: Read elsewhere: by the launcher, by clients, and by workers, in which a server may be started, too.
_OTHER_VARIABLES = frozenset(
    ("MMS_CONFIG_FILE", "MMS_API_KEY", "MMS_WORKER_SECRET", "MMS_WORKER_PYTHONPATH")
)
#: What each container of a namespace gets that has a service called mms, or mms-something.
_OF_KUBERNETES = re.compile(
    r"MMS_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
#: Names in one notice.
_MOST_NAMED = 10
_PREFIX = "Invalid configuration: "


def packaged_config(name: str) -> Path:
    """Return the packaged file that a word such as `sagemaker` stands for."""
    return Path(__file__).resolve().parents[1] / "configs" / f"{name}_config.properties"


def load_settings(options: LaunchOptions, *, environ: Mapping[str, str]) -> Settings:
    """Load the settings. Raises ConfigurationError: a line with file, line, key, value and what would be right."""
    dialect = dialect_of(options.stands_for)
    settings = Settings(
        stands_for=options.stands_for,
        default_version=dialect.model_version,
        ignores_snapshots=options.ignores_snapshots,
        log_file_names=dialect.log_files,
    )
    for name, value in dialect.defaults.items():
        settings.put(name, all_options()[name].kind.convert(value))
    path = _config_path(options, environ, settings, dialect)
    settings.config_file = str(path) if path else None
    text = _read(path) if path else ""
    for entry in _entries(text, path):
        source = f"{path}:{entry.line}"
        key = dialect.names.get(entry.key, entry.key)
        _set(settings, key, _substituted(entry, source, environ), source)
    if options.model_store is not None:
        _set(settings, "model_store", options.model_store, "--model-store")
    if options.models:
        _set(settings, "load_models", ",".join(options.models), "--models")
    of_command = partial(_read_command_line, settings, options)
    of_variables = partial(_read_variables, settings, environ, dialect)
    # The later one counts.
    for read in (of_command, of_variables) if dialect.variables_win else (of_variables, of_command):
        read()
    dialect.complete(settings, environ)
    _finish(settings, options, environ, text)
    return settings


def _read_command_line(settings: Settings, options: LaunchOptions) -> None:
    for name, value in options.settings.items():
        _set(settings, name, value, "the command line")


def _read_variables(settings: Settings, environ: Mapping[str, str], dialect: Dialect) -> None:
    """Set what MMS_<SETTING> variables say where a file allows them; those that have no effect are one notice."""
    idle = []
    for name, option in _named_options(dialect):
        variable = f"{dialect.variables}{name.upper()}"
        if variable not in environ:
            continue
        has_leave = name not in dialect.by_leave or settings.get(dialect.by_leave[name])
        if settings.enable_envvars_config and option.has_variable and has_leave:
            _set(settings, dialect.names.get(name, name), environ[variable], variable)
        else:
            idle.append(variable)
    if dialect is OWN:
        _tell_of_unknown_variables(settings, environ)
    if idle:
        reason = (
            "only the configuration file sets this"
            if settings.enable_envvars_config
            else "variables count only where the configuration file says enable_envvars_config=true"
        )
        has = "has" if len(idle) == 1 else "have"
        text = f"{', '.join(sorted(idle))} {has} no effect: {reason}"
        settings.notices.append((logging.WARNING, text))


def _named_options(dialect: Dialect) -> list[tuple[str, Option]]:
    """Return all options by the names that a dialect has for them."""
    options = all_options()
    found = [(name, option) for name, option in options.items() if name not in dialect.names]
    return [*found, *((other, options[name]) for other, name in dialect.names.items())]


def _tell_of_unknown_variables(settings: Settings, environ: Mapping[str, str]) -> None:
    """Warn once of variables that look like settings and are none; Kubernetes' own are nobody's mistake."""
    unknown = [
        f"{variable}{_nearest_variable(variable)}"
        for variable in sorted(environ)
        if variable.startswith(OWN.variables)
        and variable[len(OWN.variables) :].lower() not in all_options()
        and variable not in _OTHER_VARIABLES
        and not _OF_KUBERNETES.fullmatch(variable)
    ]
    if not unknown:
        return
    is_one = len(unknown) == 1
    if len(unknown) > _MOST_NAMED:
        unknown[_MOST_NAMED:] = [f"and {len(unknown) - _MOST_NAMED} more"]
    names, is_no = (
        ", ".join(unknown),
        "is no setting and has" if is_one else "are no settings and have",
    )
    settings.notices.append((logging.WARNING, f"{names} {is_no} no effect on the server"))


def _nearest_variable(variable: str) -> str:
    found = nearest(variable.removeprefix(OWN.variables), all_options())
    return "" if found is None else f" (did you mean {OWN.variables}{found.upper()}?)"


def _config_path(
    options: LaunchOptions, environ: Mapping[str, str], settings: Settings, dialect: Dialect
) -> Path | None:
    named = environ.get(dialect.file_variable) or options.mms_config
    if named == "sagemaker":
        return packaged_config("sagemaker")
    if not named and not options.ignores_snapshots:
        snapshot = dialect.find_file(environ)
        if snapshot is not None:
            return snapshot.absolute()
    path = Path(named or _CONFIG_NAME)
    if path.is_file():
        return path.absolute()
    if named:
        settings.notices.append(
            (logging.WARNING, f"{path.absolute()} is not a file; no settings are read")
        )
    return None


def _read(path: Path) -> str:
    try:
        return properties.decode(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{_PREFIX}{path} cannot be read: {error.strerror}") from None


def _entries(text: str, path: Path | None) -> list[properties.Property]:
    """Return the last entry of each key; the ones before it do not count, whatever they say."""
    try:
        return list({entry.key: entry for entry in properties.parse(text)}.values())
    except ValueError as error:
        raise ConfigurationError(f"{_PREFIX}{path}: {error}") from None


def _substituted(entry: properties.Property, source: str, environ: Mapping[str, str]) -> str:
    def replace(match: re.Match[str]) -> str:
        if match[1] not in environ:
            raise ConfigurationError(
                f"{_PREFIX}Invalid Environment Variable {match[1]}; {source}: "
                f"{entry.key}={entry.value} needs it to be set"
            )
        return environ[match[1]]

    return _VARIABLE.sub(replace, entry.value)


def _set(settings: Settings, key: str, value: str, source: str) -> None:
    settings.raw[key] = value
    option = all_options().get(key)
    if option is None:
        hint = did_you_mean(key, all_options())
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
        reason = f"{one_line(text)}; " if text.startswith(("Invalid ", "not a ")) else ""
        unit = f", in {option.unit}" if option.unit else ""
        raise ConfigurationError(
            f"{_PREFIX}{reason}{source}: {key}={one_line(value)} should be {option.kind.wanted}{unit}"
        ) from None
    if option.kind is BOOLEAN and value.strip().lower() not in ("true", "false"):
        settings.notices.append(
            (
                logging.WARNING,
                f"{source}: {key}={one_line(value)} counts as false; only true is true",
            )
        )
    if option.kind.name == "text" and not value and option.default == "":
        converted = None
    settings.put(key, converted)
    settings.sources[key] = source


def _finish(
    settings: Settings, options: LaunchOptions, environ: Mapping[str, str], text: str
) -> None:
    settings.log_config = options.log_config
    settings.temp_dir = environ.get("TEMP") or tempfile.gettempdir()
    settings.log_dir = environ.get("LOG_LOCATION") or "logs"
    settings.metrics_dir = environ.get("METRICS_LOCATION") or "logs"
    settings.has_sagemaker_config = "$$SAGEMAKER_" in text
    settings.is_sagemaker = "SAGEMAKER_" in text or any(v.startswith("SAGEMAKER_") for v in environ)
    if settings.initialize_errors is None:
        settings.initialize_errors = "ignore" if settings.is_sagemaker else "fail"
    if not settings.use_native_io and "unix" in (
        settings.inference_address.scheme,
        settings.management_address.scheme,
    ):
        raise ConfigurationError(f"{_PREFIX}unix domain socket requires use_native_io set to true.")
    without_effect = [key for key in settings.sources if not all_options()[key].has_effect]
    if without_effect:
        verb = "is a setting" if len(without_effect) == 1 else "are settings"
        settings.notices.append(
            (
                logging.INFO,
                f"{', '.join(without_effect)} {verb} of the Java server, without effect here",
            )
        )
    for entry in (settings.load_models or "").split(","):
        name, equals, location = entry.partition("=")
        if equals and not location.strip():
            notice = f"{settings.quoted('load_models')}: the model {name.strip()} has no location and is not loaded"
            settings.notices.append((logging.WARNING, notice))
    if settings.install_py_dep_per_model and "install_requirements" not in settings.sources:
        settings.install_requirements = "folder"
    home = environ.get("MODEL_SERVER_HOME")
    if home and not os.path.exists(home):
        raise ConfigurationError(f"{_PREFIX}Model server home not exist: {home}")
    if (settings.private_key_file is None) != (settings.certificate_file is None):
        alone = "certificate_file" if settings.private_key_file is None else "private_key_file"
        raise ConfigurationError(
            f"{_PREFIX}{settings.quoted(alone)}: private_key_file and "
            "certificate_file belong together; set both or none"
        )
