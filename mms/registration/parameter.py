"""What a parameter of a registration is, declared once: everything that reads, writes or tells it is made of this."""

from __future__ import annotations

from dataclasses import Field, dataclass, field
from typing import Any, Final

from mms.registration.kind import Kind

#: `POST /models`, and `PUT /models/{model}`.
REGISTER: Final = "register"
SCALE: Final = "scale"
#: How workers run; a model without workers gives it to the models that are registered with it.
WORKERS: Final = "workers"
#: What the code in an archive is; a document that says what a model is made of says it itself.
CODE: Final = "code"
#: The document of a graph.
GRAPH: Final = "graph"


@dataclass(frozen=True, slots=True)
class Key:
    """A key of `model-config.yaml` and of an entry of the setting `models`, with the unit of its value."""

    name: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """The member of a model's description that has the value of a parameter.

    One that is `unless` is left out. `is_of_model`: the model itself tells it, as more than the registration decides.
    """

    name: str
    unless: Any = None
    is_of_model: bool = False


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. `name` is the one of the management API."""

    name: str
    kind: Kind
    #: One or two sentences for the command's help, the API description and the docs.
    help: str
    #: What the docs say besides, in Markdown.
    details: str = ""
    #: As it is written in a query; empty: none that is always the same.
    default: str = ""
    #: What stands for it, in words; empty: the default, else the setting.
    otherwise: str = ""
    #: The setting of the server that gives the default.
    setting: str = ""
    #: In a query.
    unit: str = ""
    #: In a JSON body, where it is another one.
    json_unit: str = ""
    #: Other names in the API; the first one that has a value counts.
    aliases: tuple[str, ...] = ()
    routes: tuple[str, ...] = (REGISTER,)
    keys: tuple[Key, ...] = ()
    #: The flag of `mms models`; empty: the name as a flag. None: there is no flag.
    flag: str | None = ""
    is_in_query: bool = True
    #: MMS has no such parameter.
    is_new: bool = False
    #: What it says something of, `WORKERS`, `CODE` or `GRAPH`: nothing of a model without. Empty: of any model.
    scope: str = ""
    #: Whether it says what is registered. The name of another parameter: together with that one.
    names_model: bool | str = False
    #: A value that asks for nothing.
    idle: Any = None
    #: Whether a change has a running model's workers replaced.
    needs_workers: bool = False
    shown: Shown | None = None

    @property
    def command_flag(self) -> str:
        """The flag of `mms models`, with the one that says no behind a slash; empty where there is none."""
        if self.flag is None:
            return ""
        flag = self.flag or "--" + self.name.replace("_", "-")
        if self.kind.is_truth and "/" not in flag:
            flag = f"{flag}/--no-{flag.removeprefix('--')}"
        return flag

    def text(self, *, is_json: bool) -> str:
        """Return what it is, with its unit in a JSON body or in a query."""
        unit = self.unit_of(is_json=is_json)
        return f"{self.help} In {unit}." if unit else self.help

    def default_of(self, route: str) -> Any:
        """Return what leaving it out stands for; None where that depends, and on a route that then changes nothing."""
        if not self.default or route != self.routes[0]:
            return None
        return self.kind.convert(self.default, self.unit)

    def unit_of(self, *, is_json: bool) -> str:
        return self.json_unit if is_json and self.json_unit else self.unit


def parameter(
    name: str,
    kind: Kind,
    help: str,
    details: str = "",
    *,
    value: Any = None,
    is_shared: bool = True,
    is_kept: bool = True,
    **more: Any,
) -> Any:
    """Return a dataclass field for a parameter; `more`: other members of Parameter. `value`: where nobody gives one.

    `is_shared`: it holds for the models that a registration brings along, too. `is_kept`: it is in the state file.
    """
    declared = Parameter(name, kind, help, details, **more)
    return field(
        default=value,
        metadata={"parameter": declared, "is_shared": is_shared, "is_kept": is_kept},
    )


def attribute(value: Any = None, *, is_shared: bool = False, is_kept: bool = True) -> Any:
    """Return a dataclass field that goes with a registration and is no parameter: clients cannot give it."""
    return field(default=value, metadata={"is_shared": is_shared, "is_kept": is_kept})


def group(kind: type) -> Any:
    """Return a dataclass field for the parameters of an interface, a dataclass of their own."""
    return field(default_factory=kind, metadata={"group": kind})


def parameter_of(member: Field[Any]) -> Parameter | None:
    found: Parameter | None = member.metadata.get("parameter")
    return found


def group_of(member: Field[Any]) -> Any:
    """Return the class of options of a field that is a group, else None."""
    found: Any = member.metadata.get("group")
    return found


def parameters_of(options: Any, route: str | None = None) -> list[Parameter]:
    """Return all parameters of a class of options, those of its groups behind its own. `route`: that take them."""
    return [
        declared
        for _, declared in options.all_parameters()
        if route is None or route in declared.routes
    ]
