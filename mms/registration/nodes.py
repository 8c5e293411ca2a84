"""What a registration says of the nodes of its workers, as values: read, checked, and refused with what is right."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

from mms.registration.kind import InvalidValue, Kind
from mms.text.brief import brief

_COUNTS: Final = ("num_cpus", "num_gpus")
_RESOURCES: Final = (*_COUNTS, "memory", "resources")
_RUNTIME: Final = ("pip", "uv", "conda", "env_vars")
_MOST: Final = 1_000_000
_MOST_CHARS: Final = 64 * 1024
_MOST_NAMES: Final = 32
_NAME: Final = re.compile(r"[A-Za-z_][\w.:/-]{0,99}")
_VARIABLE: Final = re.compile(r"[A-Za-z_]\w{0,199}")


def _object_of(value: Any, example: str) -> Mapping[str, Any]:
    if isinstance(value, str):
        if len(value) > _MOST_CHARS:
            raise InvalidValue(f"has {len(value)} characters; {_MOST_CHARS} are the most.")
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise InvalidValue(f"is not valid JSON: {error}") from None
    if not isinstance(value, Mapping):
        raise InvalidValue(f"must be a JSON object such as {example}, not {brief(value)}.")
    return value


def _amount(name: str, value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= _MOST or not math.isfinite(value):
        raise InvalidValue(f"{name} must be a number from 0 on, not {brief(value)}.")
    if value > 1 and value != int(value):
        raise InvalidValue(f"{name} must be a whole number or a part of one, not {brief(value)}.")
    return float(value)


def resources_of(value: Any, unit: str = "") -> dict[str, Any]:
    """Return what a node has to have, by Ray's names of options. Raises InvalidValue."""
    given = _object_of(value, '{"num_cpus": 2, "num_gpus": 1}')
    _check_names(given, _RESOURCES)
    found: dict[str, Any] = {}
    for name in _COUNTS:
        if name in given:
            found[name] = _amount(name, given[name])
    if "memory" in given:
        memory = given["memory"]
        if isinstance(memory, bool) or not isinstance(memory, int) or not 0 < memory < 10**18:
            raise InvalidValue(f"memory must be a whole number of bytes, not {brief(memory)}.")
        found["memory"] = memory
    own = given.get("resources", {})
    if not isinstance(own, Mapping) or len(own) > _MOST_NAMES:
        raise InvalidValue(f"resources must be a JSON object of numbers, not {brief(own)}.")
    for name, count in own.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name in ("CPU", "GPU"):
            raise InvalidValue(
                f"resources has {brief(name)}, which names no resource of its own; CPUs are num_cpus, GPUs num_gpus."
            )
        found.setdefault("resources", {})[name] = _amount(name, count)
    return found


def runtime_env_of(value: Any, unit: str = "") -> dict[str, Any]:
    """Return what Ray installs and sets for a model's workers. Raises InvalidValue.

    What would run other programs on nodes, or their files, is none of it.
    """
    given = _object_of(value, '{"pip": ["numpy==2.1"]}')
    _check_names(given, _RUNTIME)
    for name, content in given.items():
        if name == "env_vars":
            if not isinstance(content, Mapping) or not all(
                isinstance(k, str) and _VARIABLE.fullmatch(k) and isinstance(v, str)
                for k, v in content.items()
            ):
                raise InvalidValue(
                    f"env_vars must be a JSON object of texts, not {brief(content)}."
                )
        elif name in ("pip", "uv"):
            names = content.get("packages") if isinstance(content, Mapping) else content
            if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
                raise InvalidValue(f"{name} must be a list of requirements, not {brief(content)}.")
        elif not isinstance(content, str | Mapping):
            raise InvalidValue(f"conda must be a name or an environment, not {brief(content)}.")
    return dict(given)


def _check_names(given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    other = next((name for name in given if name not in known), None)
    if other is not None:
        raise InvalidValue(f"has {brief(other)}; it may have {', '.join(known)}.")


RESOURCES: Final = Kind("JSON object of resources", resources_of, resources_of, json_schema={})
RUNTIME_ENV: Final = Kind("JSON object for Ray", runtime_env_of, runtime_env_of, json_schema={})
