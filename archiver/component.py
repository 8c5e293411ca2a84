"""What a manifest says about a class that serves as a model: `model.extensions`, checked and written.

Other readers of archives keep the extensions as they are, since the format leaves them to the model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mms.interfaces import CHOICES, INTERFACES
from mms.text.brief import brief
from mms.text.typed_value import typed_value

SERVICE_TYPES: Final = (
    *("MODEL", "TRANSFORMER", "OUTPUT_TRANSFORMER"),
    *("COMBINER", "ROUTER", "OUTLIER_DETECTOR"),
)
PARAMETER_TYPES: Final = ("INT", "FLOAT", "DOUBLE", "STRING", "BOOL")
#: Lists and objects; arguments of some interfaces alone have it.
JSON_TYPE: Final = "JSON"
PREPACKAGED: Final = ("sklearn", "xgboost", "onnx", "pytorch", "tensorflow", "mlflow")
MODEL_URI_SCHEMES: Final = ("file", "http", "https", "s3", "gs", "models")

_NAME: Final = re.compile(r"[^\W\d]\w*")
#: More than any constructor takes.
_MAX_PARAMETERS: Final = 1000
_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_DECIMAL: Final = re.compile(r"[+-]?([0-9]+\.[0-9]*|\.?[0-9]+)([eE][+-]?[0-9]+)?")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):(?=/)")


class InvalidComponent(ValueError):
    """A parameter or option of a component is wrong. The message names it, and what would be right."""


@dataclass(frozen=True, slots=True)
class Component:
    """What is said about a component or model server; None or empty where nothing is.

    `model_path`: of a model server, what it gets under that name; a path is one in its archive.
    """

    interface: str | None = None
    service_type: str | None = None
    parameters: tuple[dict[str, Any], ...] = ()
    model_uri: str | None = None
    prepackaged: str | None = None
    model_path: str | None = None

    @classmethod
    def of_extensions(cls, extensions: Mapping[str, Any]) -> Component:
        """Reads `model.extensions`. Raises InvalidComponent.

        The map is free, so without an `interface` that is known here its members mean something else: nothing is said.
        """
        interface = extensions.get("interface")
        if interface not in CHOICES:
            return cls()
        return cls(
            interface=_word(extensions, "interface", CHOICES),
            service_type=_word(extensions, "service_type", SERVICE_TYPES),
            parameters=checked_parameters(
                extensions.get("parameters") or (), has_json=has_json_arguments(interface)
            ),
            model_uri=checked_model_uri(_text(extensions, "model_uri")),
            prepackaged=_word(extensions, "prepackaged", PREPACKAGED),
            model_path=_text(extensions, "model_path") or None,
        )

    def to_extensions(self) -> dict[str, Any]:
        """Return the members of `model.extensions` that say the same."""
        members = {
            "interface": self.interface,
            "service_type": self.service_type,
            "parameters": list(self.parameters) or None,
            "model_uri": self.model_uri,
            "prepackaged": self.prepackaged,
            "model_path": self.model_path,
        }
        return {name: value for name, value in members.items() if value is not None}

    def overridden(self, by: Component) -> Component:
        """This one with what `by` says in its place; parameters replace those of the same name."""
        names = {parameter["name"] for parameter in by.parameters}
        kept = tuple(p for p in self.parameters if p["name"] not in names)
        return Component(
            interface=by.interface or self.interface,
            service_type=by.service_type or self.service_type,
            parameters=kept + by.parameters,
            model_uri=by.model_uri or self.model_uri,
            prepackaged=by.prepackaged or self.prepackaged,
            model_path=by.model_path or self.model_path,
        )


def has_json_arguments(interface: str | None) -> bool:
    """Return whether classes of the interface of a name take lists and objects."""
    return any(each.name == interface and each.has_json_arguments for each in INTERFACES)


def parameter_of_text(text: str) -> dict[str, Any]:
    """Return the parameter that `name=value:TYPE` says. A value may have "=" and ":" in it. Raises InvalidComponent."""
    name, equals, rest = text.partition("=")
    value, colon, kind = rest.rpartition(":")
    if not equals or not colon:
        raise InvalidComponent(
            f"parameter {brief(text)} is not name=value:TYPE, with TYPE one of {', '.join(PARAMETER_TYPES)}"
        )
    return _checked_parameter({"name": name.strip(), "value": value, "type": kind.strip()})


def argument_of_text(text: str) -> dict[str, Any]:
    """The parameter that `name=value` says, of the type that its value looks like; `name=value:TYPE` says the type.

    Raises InvalidComponent.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise InvalidComponent(f"parameter {brief(text)} is not name=value")
    if value.rpartition(":")[2].strip() in PARAMETER_TYPES and ":" in value:
        return parameter_of_text(text)
    kind = "STRING"
    if _INTEGER.fullmatch(value):
        kind = "INT"
    elif _DECIMAL.fullmatch(value):
        kind = "DOUBLE"
    elif value.lower() in ("true", "false"):
        kind = "BOOL"
    elif value == "null" or (value[:1] in ("[", "{") and _is_json(value)):
        kind = JSON_TYPE
    return _checked_parameter({"name": name.strip(), "value": value, "type": kind}, has_json=True)


def checked_parameters(parameters: Any, *, has_json: bool = False) -> tuple[dict[str, Any], ...]:
    """Return a copy of the list `[{"name", "value", "type"}]`. Raises InvalidComponent for what a worker would refuse.

    `has_json`: the type JSON is one, too.
    """
    if not isinstance(parameters, Sequence) or isinstance(parameters, (str, bytes)):
        raise InvalidComponent(
            f'parameters must be a list of {{"name", "value", "type"}}, not {brief(parameters)}'
        )
    if len(parameters) > _MAX_PARAMETERS:
        raise InvalidComponent(
            f"there are {len(parameters)} parameters; {_MAX_PARAMETERS} are the most"
        )
    checked: dict[str, dict[str, Any]] = {}
    for parameter in parameters:
        found = _checked_parameter(parameter, has_json)
        name = found["name"]
        if name in checked:
            raise InvalidComponent(f"parameter {name} is given twice")
        checked[name] = found
    return tuple(checked.values())


def _checked_parameter(parameter: Any, has_json: bool = False) -> dict[str, Any]:
    if not isinstance(parameter, Mapping):
        raise InvalidComponent(
            f'parameter {brief(parameter)} is not an object with "name", "value" and "type"'
        )
    for member in ("name", "value", "type"):
        if member not in parameter:
            raise InvalidComponent(f'parameter {brief(dict(parameter))} has no "{member}"')
    name, value, kind = parameter["name"], parameter["value"], parameter["type"]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidComponent(
            f"parameter {brief(name)} has a name that no argument in Python can have"
        )
    types = (*PARAMETER_TYPES, JSON_TYPE) if has_json else PARAMETER_TYPES
    if kind not in types:
        raise InvalidComponent(
            f"parameter {name} has the type {brief(kind)}, which is not one of {', '.join(types)}"
        )
    if not _is_of_type(value, kind):
        raise InvalidComponent(f"parameter {name}: the value {brief(value)} is not a valid {kind}")
    # Readers of classes take truths as text alone.
    return {
        "name": name,
        "value": str(value).lower() if value is True or value is False else value,
        "type": kind,
    }


def _is_of_type(value: Any, kind: str) -> bool:
    if not isinstance(value, (str, int, float)):
        return False
    try:
        typed_value(value, kind)
    except ValueError:
        return False
    return True


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def checked_model_uri(uri: str | None) -> str | None:
    """`uri` itself; None for an empty one. Raises InvalidComponent for a scheme that nothing here can fetch."""
    if not uri:
        return None
    scheme = uri_scheme(uri)
    if scheme and scheme not in MODEL_URI_SCHEMES:
        raise InvalidComponent(
            f"model_uri {uri} has the scheme {scheme}, which is not one of {', '.join(MODEL_URI_SCHEMES)}; "
            "a path without a scheme is one, too"
        )
    return uri


def uri_scheme(uri: str) -> str:
    """In small letters; empty for a path."""
    match = _SCHEME.match(uri)
    return match[1].lower() if match else ""


def _text(members: Mapping[str, Any], name: str) -> str | None:
    value = members.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidComponent(f"{name} must be a text, not {brief(value)}")
    return value


def _word(members: Mapping[str, Any], name: str, words: Sequence[str]) -> str | None:
    value = _text(members, name)
    if not value:
        return None
    for word in words:
        if value.lower() == word.lower():
            return word
    raise InvalidComponent(f"{name} {brief(value)} is not one of {', '.join(words)}")
