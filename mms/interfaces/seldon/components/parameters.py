"""The typed parameters of a component's constructor."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from mms.interfaces.seldon.errors import BAD_PARAMETER, SeldonMicroserviceException
from mms.text.brief import brief

ENVIRONMENT_NAME = "PREDICTIVE_UNIT_PARAMETERS"

_TRUE = frozenset(("y", "yes", "t", "true", "on", "1"))
_FALSE = frozenset(("n", "no", "f", "false", "off", "0"))
_NUMBERS = {"INT": int, "FLOAT": float, "DOUBLE": float}
TYPES = ("INT", "FLOAT", "DOUBLE", "STRING", "BOOL")


def parse_parameters(parameters: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The keyword arguments of `[{"name", "value", "type"}]`; later ones of a name win.

    Raises SeldonMicroserviceException with the reason MICROSERVICE_BAD_PARAMETER for an unknown type
    and a value that is no number; ValueError for a BOOL that is neither true nor false.
    """
    return {parameter.get("name", ""): _value_of(parameter) for parameter in parameters}


def parse_parameters_json(text: str) -> dict[str, Any]:
    """As `parse_parameters`, of the JSON in PREDICTIVE_UNIT_PARAMETERS. Raises ValueError for what is no such list."""
    try:
        parameters = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{ENVIRONMENT_NAME} is not JSON: {error}") from None
    if not isinstance(parameters, list) or not all(
        isinstance(parameter, dict) for parameter in parameters
    ):
        raise ValueError(
            f'{ENVIRONMENT_NAME} must be a list of objects {{"name", "value", "type"}}, not {brief(text)}'
        )
    return parse_parameters(parameters)


def _value_of(parameter: Mapping[str, Any]) -> Any:
    name, value, kind = (parameter.get(member) for member in ("name", "value", "type"))
    if kind == "BOOL":
        return _truth_of(name, value)
    if kind == "STRING":
        return str(value)
    convert = _NUMBERS.get(str(kind))
    if convert is None:
        raise SeldonMicroserviceException(
            f"Bad model parameter type: {kind} valid are {', '.join(TYPES)}", reason=BAD_PARAMETER
        )
    try:
        return convert(value)
    except (ValueError, TypeError, OverflowError):
        raise SeldonMicroserviceException(
            f"Bad model parameter: {name} with value {value} can't be parsed as a {kind}",
            reason=BAD_PARAMETER,
        ) from None


def _truth_of(name: Any, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(
        f"invalid truth value {brief(text)} of the parameter {name}: "
        f"{'/'.join(sorted(_TRUE))} or {'/'.join(sorted(_FALSE))}"
    )
