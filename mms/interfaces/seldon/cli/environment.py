"""What Seldon's command and its variables ask for, as the settings and the component of this server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from archiver import InvalidComponent, checked_parameters
from mms.text.brief import brief

ANNOTATIONS = Path("/etc/podinfo/annotations")
_REST_TIMEOUT = "seldon.io/rest-timeout"
_GRPC_MESSAGE_SIZE = "seldon.io/grpc-max-message-size"
#: Seldon's wrapper takes bodies of any size; this is only against what would fill the memory.
_MAX_BODY_BYTES = 512 * 2**20
_LOG_LEVELS = {"DEBUG": "DEBUG", "INFO": "INFO", "WARNING": "WARN", "ERROR": "ERROR"}

#: Options of Seldon's command that mean nothing here, with the variable that stands for each.
_WITHOUT_EFFECT = {
    "threads": "GUNICORN_THREADS",
    "max_requests": "GUNICORN_MAX_REQUESTS",
    "max_requests_jitter": "GUNICORN_MAX_REQUESTS_JITTER",
    "single_threaded": "FLASK_SINGLE_THREADED",
    "debug": "SELDON_DEBUG",
    "tracing": "TRACING",
    "grpc_threads": "GRPC_THREADS",
}


class WrongEnvironment(Exception):
    """An option or a variable that cannot be used. The message names it, and what would be right."""


@dataclass(slots=True)
class Given:
    """The command line. None: not given."""

    interface_name: str
    api_type: str | None = None
    service_type: str = "MODEL"
    persistence: int = 0
    parameters: str | None = None
    log_level: str | None = None
    access_log: bool = False
    workers: int | None = None
    keepalive: float | None = None
    http_port: int | None = None
    grpc_port: int | None = None
    metrics_port: int | None = None
    grpc_workers: int | None = None
    model_path: Path = field(default_factory=Path.cwd)
    state_dir: Path = Path("state")
    #: Further ones, by name in Seldon's command.
    without_effect: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Plan:
    """How the server is to be started. `ports`: (option, what is served, port), 0 for any, by setting."""

    name: str
    settings: dict[str, str]
    component: dict[str, Any]
    ports: dict[str, tuple[str, str, int]]
    log_level: str
    has_grpc: bool
    #: Named without effect here.
    ignored: list[str]
    notices: list[str]


def plan(
    given: Given,
    environ: Mapping[str, str],
    *,
    is_grpc_installed: bool,
    annotations: Path = ANNOTATIONS,
) -> Plan:
    """Return how a component is served. Raises WrongEnvironment."""
    notices: list[str] = []
    noted = _annotations(annotations)
    name = given.interface_name.rpartition(".")[2]
    workers = _number(given.workers, environ, "GUNICORN_WORKERS", 1)
    if workers < 1:
        raise WrongEnvironment(f"--workers must be 1 or more, not {workers}")
    has_grpc = _has_grpc(given, environ, is_grpc_installed, notices)
    http_port, grpc_port, metrics_port = _ports(given, environ)
    has_access_log = given.access_log or (
        environ.get("GUNICORN_ACCESS_LOG", "").lower() in ("1", "t", "true")
    )
    settings = {
        "inference_address": f"http://0.0.0.0:{http_port}",
        "seldon_metrics_address": f"http://0.0.0.0:{metrics_port}",
        "default_model": name,
        "access_log": str(has_access_log).lower(),
        "metrics": "false",
        "max_request_size": str(_MAX_BODY_BYTES),
        "max_response_size": str(_MAX_BODY_BYTES),
    }
    endpoint = environ.get("PREDICTIVE_UNIT_METRICS_ENDPOINT")
    if endpoint:
        settings["seldon_metrics_path"] = endpoint
    ports = {
        "inference_address": ("--http-port", "REST", http_port),
        "seldon_metrics_address": ("--metrics-port", "metrics", metrics_port),
    }
    if has_grpc:
        settings["grpc_address"] = f"grpc://0.0.0.0:{grpc_port}"
        ports["grpc_address"] = ("--grpc-port", "gRPC", grpc_port)
        if _GRPC_MESSAGE_SIZE in noted:
            settings["grpc_max_request_size"] = str(_noted_number(noted, _GRPC_MESSAGE_SIZE))
    if _REST_TIMEOUT in noted:
        seconds = max(_noted_number(noted, _REST_TIMEOUT) // 1000, 1)
        settings["default_response_timeout_seconds"] = str(seconds)
    keepalive = given.keepalive
    if keepalive is None and "GUNICORN_KEEPALIVE" in environ:
        keepalive = _number(None, environ, "GUNICORN_KEEPALIVE", 2)
    if keepalive is not None:
        settings["keep_alive_timeout_s"] = f"{keepalive:g}"
    component: dict[str, Any] = {
        "folder": str(given.model_path.absolute()),
        "model_name": name,
        "handler": given.interface_name,
        "interface": "seldon",
        "service_type": given.service_type,
        "initial_workers": workers,
        # Where parameters come from their variable the worker reads it itself.
        "parameters": _parameters(given, environ),
    }
    if given.persistence:
        component["persistence_file"] = str(given.state_dir.absolute() / f"{name}.pickle")
        if workers > 1:
            notices.append(
                f"{workers} workers save one state, and the last one to write wins; with --workers 1 nothing is lost"
            )
    return Plan(
        name=name,
        settings=settings,
        component=component,
        ports=ports,
        log_level=_log_level(given, environ),
        has_grpc=has_grpc,
        ignored=_ignored(given, environ),
        notices=notices,
    )


def _ports(given: Given, environ: Mapping[str, str]) -> tuple[int, int, int]:
    """REST, gRPC, metrics. The one port of Seldon before 1.5 counts for the API that the command names."""
    old = environ.get("PREDICTIVE_UNIT_SERVICE_PORT")
    is_grpc = given.api_type == "GRPC"
    numbers = []
    for port, variable, default, is_old in (
        (given.http_port, "PREDICTIVE_UNIT_HTTP_SERVICE_PORT", 9000, not is_grpc),
        (given.grpc_port, "PREDICTIVE_UNIT_GRPC_SERVICE_PORT", 5000, is_grpc),
        (given.metrics_port, "PREDICTIVE_UNIT_METRICS_SERVICE_PORT", 6000, False),
    ):
        if old and is_old and variable not in environ:
            variable = "PREDICTIVE_UNIT_SERVICE_PORT"
        number = _number(port, environ, variable, default)
        if not 0 <= number <= 65535:
            raise WrongEnvironment(
                f"{variable}: {number} is not a port; ports are numbers up to 65535"
            )
        numbers.append(number)
    return numbers[0], numbers[1], numbers[2]


def _has_grpc(
    given: Given, environ: Mapping[str, str], is_installed: bool, notices: list[str]
) -> bool:
    count = _number(given.grpc_workers, environ, "GRPC_WORKERS", 1)
    if given.api_type == "REST" or (count == 0 and given.api_type != "GRPC"):
        return False
    if is_installed:
        return True
    if given.api_type == "GRPC" or given.grpc_port is not None or given.grpc_workers:
        raise WrongEnvironment(
            "gRPC is not installed: pip install 'marserve[grpc]', or --grpc-workers 0 for REST alone"
        )
    notices.append("gRPC is not served: pip install 'marserve[grpc]' adds it")
    return False


def _parameters(given: Given, environ: Mapping[str, str]) -> list[dict[str, Any]]:
    source = "--parameters" if given.parameters is not None else "PREDICTIVE_UNIT_PARAMETERS"
    text = given.parameters if given.parameters is not None else environ.get(source)
    if not text:
        return []
    try:
        checked = checked_parameters(json.loads(text))
    except InvalidComponent as error:
        raise WrongEnvironment(f"{source}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise WrongEnvironment(f"{source} is not valid JSON: {error}") from None
    return list(checked)


def _log_level(given: Given, environ: Mapping[str, str]) -> str:
    """Return log4j's word for the level. As in Seldon the variable comes before the option."""
    word = (environ.get("SELDON_LOG_LEVEL") or given.log_level or "INFO").upper()
    if word not in _LOG_LEVELS:
        raise WrongEnvironment(f"log level {word} is not one of {', '.join(_LOG_LEVELS)}")
    return _LOG_LEVELS[word]


def _ignored(given: Given, environ: Mapping[str, str]) -> list[str]:
    flags = [
        f"--{name.replace('_', '-')}"
        for name, value in given.without_effect.items()
        if value not in (None, False, 0, "", "0")
    ]
    variables = [
        name for name in _WITHOUT_EFFECT.values() if environ.get(name) not in (None, "", "0")
    ]
    flask = sorted(n for n in environ if n.startswith("FLASK_") and n not in variables)
    others = [n for n in ("USE_MULTIPROCESS_PACKAGE", "FILTER_METRICS_ACCESS_LOGS") if n in environ]
    return flags + variables + flask + others


def _number(given: Any, environ: Mapping[str, str], variable: str, default: int) -> Any:
    if given is not None:
        return given
    text = environ.get(variable, "").strip()
    if not text:
        return default
    try:
        return int(text)
    except ValueError:
        raise WrongEnvironment(f"{variable}={text} should be a whole number") from None


def _annotations(path: Path) -> dict[str, str]:
    """Return lines `key="value"`, as Kubernetes writes a pod's annotations into a file; none where there is no file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {key.strip(): value.strip().strip('"').strip() for key, _, value in pairs}


def _noted_number(noted: Mapping[str, str], key: str) -> int:
    try:
        return int(noted[key])
    except ValueError:
        raise WrongEnvironment(
            f"the annotation {key} is {brief(noted[key])}; a whole number is right"
        ) from None


def component_text(component: Mapping[str, Any]) -> str:
    return json.dumps(component, separators=(",", ":"))
