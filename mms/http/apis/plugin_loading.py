"""Where endpoint plugins come from: entry points of installed packages, and Python files of a folder."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
from pathlib import Path
from typing import Any

from mms.errors import ConfigurationError

logger = logging.getLogger("mms.http")

_GROUP = "mms.endpoints"


def find_endpoints(plugins_path: str | None) -> list[Any]:
    """Installed and local plugins. Raises ConfigurationError for one that cannot be loaded."""
    endpoints = []
    for entry_point in importlib.metadata.entry_points(group=_GROUP):
        try:
            found = entry_point.load()
            endpoints.append(found() if isinstance(found, type) else found)
        except Exception as error:
            raise ConfigurationError(
                f"Plugin {entry_point.value} cannot be loaded: {error}"
            ) from error
    if plugins_path:
        endpoints += _local_endpoints(plugins_path)
    return endpoints


def _local_endpoints(plugins_path: str) -> list[Any]:
    # MMS's launcher takes a Java class path, which may end in an asterisk.
    folder = Path(plugins_path.split("*")[0])
    endpoints: list[Any] = []
    for path in sorted(folder.glob("*.py")):
        endpoints += _endpoints_of(path)
    return endpoints


def _endpoints_of(path: Path) -> list[Any]:
    spec = importlib.util.spec_from_file_location(f"mms_plugin_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"Plugin {path} cannot be loaded: it is not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConfigurationError(f"Plugin {path} cannot be loaded: {error}") from error
    endpoints = getattr(module, "endpoints", None)
    if endpoints is None:
        logger.warning("Plugin file %s has no `endpoints` list; nothing is loaded from it.", path)
        return []
    return list(endpoints)
