"""The typed parameters of a component's constructor."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from mms.interfaces.seldon.errors import BAD_PARAMETER, SeldonMicroserviceException
from mms.text.brief import brief
from mms.text.typed_value import TRUTHS, typed_value

ENVIRONMENT_NAME = "PREDICTIVE_UNIT_PARAMETERS"

TYPES = ("INT", "FLOAT", "DOUBLE", "STRING", "BOOL")


def parse_parameters(parameters: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the keyword arguments of `[{"name", "value", "type"}]`; later ones of a name win.

    Raises SeldonMicroserviceException with the reason MICROSERVICE_BAD_PARAMETER for an unknown type
    and a value that is no number; ValueError for a BOOL that is neither true nor false.
    """
    return {parameter.get("name", ""): _value_of(parameter) for parameter in parameters}


def parse_parameters_json(text: str) -> dict[str, Any]:
    """Parse the JSON in PREDICTIVE_UNIT_PARAMETERS. Raises as `parse_parameters`, and ValueError for no such list."""
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
    if kind not in TYPES:
        raise SeldonMicroserviceException(
            f"Bad model parameter type: {kind} valid are {', '.join(TYPES)}", reason=BAD_PARAMETER
        )
    try:
        return typed_value(value, kind)
    except ValueError:
        if kind == "BOOL":
            words = [
                [word for word, is_true in TRUTHS.items() if is_true is kept]
                for kept in (True, False)
            ]
            raise ValueError(
                f"invalid truth value {brief(str(value).lower())} of the parameter {name}: "
                f"{' or '.join('/'.join(sorted(found)) for found in words)}"
            ) from None
        raise SeldonMicroserviceException(
            f"Bad model parameter: {name} with value {value} can't be parsed as a {kind}",
            reason=BAD_PARAMETER,
        ) from None
