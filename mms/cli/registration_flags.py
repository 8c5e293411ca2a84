"""The flags of `mms models register` and `scale`: one for each parameter that the management API takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mms.interfaces import INTERFACES
from mms.text.brief import brief

if TYPE_CHECKING:
    from mms.registration import Parameter


class RegistrationCommand(click.Command):
    """A command with the flags of a route's parameters, which are made when it is run: other commands need none."""

    def __init__(self, *args: Any, route: str, defaults: Mapping[str, Any], **kwargs: Any) -> None:
        """`defaults`: of parameters that the command gives in any case."""
        super().__init__(*args, **kwargs)
        self._route = route
        self._defaults = defaults
        self._has_flags = False

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        if not self._has_flags:
            self._has_flags = True
            arguments = sum(isinstance(param, click.Argument) for param in self.params)
            self.params[arguments:arguments] = _flags(self._route, self._defaults)
        return super().get_params(ctx)


def _flags(route: str, defaults: Mapping[str, Any]) -> list[click.Option]:
    from mms.registration import SCALE, ScaleParameters, parameters_of
    from mms.serving.options import RegisterOptions

    declared = parameters_of(RegisterOptions, route)
    if route == SCALE:
        declared = parameters_of(ScaleParameters, route) + declared
    return [
        _flag(parameter, defaults.get(parameter.name), is_json=route != SCALE)
        for parameter in declared
        if parameter.command_flag
    ]


def _flag(parameter: Parameter, default: Any, *, is_json: bool) -> click.Option:
    """Return the flag of a parameter. `is_json`: it is sent as JSON, else in a query."""
    from mms.registration import kind as kinds

    kind = parameter.kind
    help = parameter.text(is_json=is_json)
    more: dict[str, Any] = {}
    if kind is kinds.ARGUMENTS:
        more = {"multiple": True, "metavar": "NAME=VALUE:TYPE"}
        names = " or ".join(each.name for each in INTERFACES if each.has_json_arguments)
        help += f" May be given several times; with --interface {names} as NAME=VALUE, too."
    elif kind is kinds.OBJECT:
        more = {"type": _json_object, "metavar": "JSON"}
    elif kind is kinds.DOCUMENT:
        more = {"type": _document, "metavar": "FILE"}
    elif kind.words:
        more = {"type": click.Choice(kind.words)}
    elif kind.is_truth:
        more = {"type": bool}
    elif kind.schema.get("type") == "integer":
        more = {"type": click.IntRange(min=kind.least)}
    elif kind.schema.get("type") == "number":
        more = {"type": click.FloatRange(min=kind.least)}
    return click.Option(
        [parameter.command_flag, parameter.name],
        default=default,
        show_default=default is not None,
        help=help,
        **more,
    )


def _json_object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"{brief(text)} is not valid JSON: {error}") from None
    if not isinstance(found, dict):
        raise click.BadParameter(f"{brief(text)} is not a JSON object.")
    return found


def _document(path: str) -> Any:
    """Return the value of a file in JSON or YAML."""
    from mms.text.documents import InvalidDocument, read_yaml

    try:
        return read_yaml(Path(path).read_bytes())
    except OSError as error:
        raise click.BadParameter(f"{path} cannot be read: {error.strerror}") from None
    except InvalidDocument as error:
        raise click.BadParameter(f"{path} cannot be read: {error}") from None
