"""What scripts and notebooks that build functions have of MLRun besides the functions: settings, logger, contexts."""

from __future__ import annotations

import os
from enum import Enum
from typing import Any

from mms.interfaces.mlrun.model.logger import Logger
from mms.interfaces.mlrun.model.options import MOCK_VARIABLE

logger = Logger()


def create_logger(
    level: str = "info", formatter_kind: str = "", name: str = "mlrun", stream: Any = None
) -> Logger:
    return Logger(name, level)


class ModelMonitoringMode(str, Enum):
    """Whether MLRun's service keeps the records of a model."""

    enabled = "enabled"
    disabled = "disabled"


class MLClientCtx:
    """What jobs get. Serving classes name it in annotations; there are no jobs here."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise NotImplementedError(
            "MLClientCtx is the context of MLRun's jobs, which do not run here: serving classes get a GraphContext"
        )


def handler(*arguments: Any, **_: Any) -> Any:
    """Return a decorator of functions for jobs, as MLRun has it: the function stays as it is."""
    if arguments and callable(arguments[0]):
        return arguments[0]
    return lambda function: function


class Settings:
    """Settings by name; those that nobody set are empty. `mock_nuclio_deployment` is what functions look at."""

    def __init__(self) -> None:
        self.__dict__.update(
            {
                "default_project": os.environ.get("MLRUN_DEFAULT_PROJECT") or "default",
                "dbpath": "",
                "artifact_path": "",
                "log_level": "INFO",
            }
        )

    def __repr__(self) -> str:
        return f"<Settings {self.__dict__}>"

    def __getattr__(self, name: str) -> Any:
        if name == "mock_nuclio_deployment":
            return os.environ.get(MOCK_VARIABLE, "")
        if name.startswith("__"):
            raise AttributeError(name)
        return ""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "mock_nuclio_deployment":
            os.environ[MOCK_VARIABLE] = str(value)
        else:
            self.__dict__[name] = value


mlconf = Settings()


def set_environment(
    api_path: str | None = None,
    artifact_path: str = "",
    access_key: str | None = None,
    username: str | None = None,
    env_file: str | None = None,
    mock_functions: str | bool | None = None,
    **_: Any,
) -> tuple[str, str]:
    """Return (project, artifact path). There is no service to be told; `mock_functions` and `env_file` count."""
    if env_file:
        set_env_from_file(env_file)
    if mock_functions is not None:
        is_on = mock_functions is True or mock_functions in ("1", "auto")
        mlconf.mock_nuclio_deployment = (
            mock_functions if isinstance(mock_functions, str) else "1" if is_on else ""
        )
    if artifact_path:
        mlconf.artifact_path = artifact_path
    return mlconf.default_project, mlconf.artifact_path


def set_env_from_file(env_file: str, return_dict: bool = False) -> dict[str, str] | None:
    """Set variables of a file with lines name=value. Raises OSError."""
    from mms.interfaces.mlrun.files.secrets import read_env_file

    found = read_env_file(os.path.expanduser(env_file))
    os.environ.update(found)
    return found if return_dict else None
