"""The values of parameters: read from a call, kept in a file, handed on to parts, and described."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields, replace
from typing import Any, ClassVar, Final, Protocol, TypeVar

from mms.registration.kind import InvalidCall, InvalidValue
from mms.registration.parameter import Parameter, group_of, parameter_of

_Options = TypeVar("_Options", bound="Options")
_Group = TypeVar("_Group", bound="Options")

#: Of each kind of options, what `_homes` has found: fields do not change, and are asked for with each registration.
_HOMES: Final[dict[type[Any], dict[str, str | None]]] = {}
#: The same of `all_parameters`: a file of models asks for them with each of thousands.
_PARAMETERS: Final[dict[type[Any], tuple[tuple[str, Parameter], ...]]] = {}


class Call(Protocol):
    """The parameters of a call: it takes those for known that it is asked for."""

    def get(self, name: str, /) -> Any: ...

    def note(self, sentence: str) -> None:
        """Remember what of the call has no effect, or another one than it seems."""


class Defaults(Protocol):
    """The settings of the server, which give defaults."""

    def get(self, name: str, /) -> Any: ...


@dataclass(frozen=True, slots=True)
class Options:
    """Values of parameters. Each member is one of `parameter`, `attribute` and `group`, and None where nobody says it.

    Options are never changed: others are made of them.
    """

    #: The heading of its parameters in the docs.
    title: ClassVar[str] = ""

    @classmethod
    def read(cls, call: Call, route: str, *, is_json: bool) -> dict[str, Any]:
        """Return the members that a call gives, groups' among its own, for `with_values`. Raises InvalidCall."""
        found: dict[str, Any] = {}
        for name, declared in cls.all_parameters():
            if route in declared.routes:
                value = read_parameter(declared, call, is_json=is_json)
                if value is not None:
                    found[name] = value
        return found

    @classmethod
    def of_members(cls: type[_Options], members: Mapping[str, Any]) -> _Options:
        """Options of their members by name; those of groups may stand among its own. Raises ValueError for others."""
        own = {member.name: member for member in fields(cls)}
        found: dict[str, Any] = {}
        loose: dict[str, dict[str, Any]] = {}
        unknown = []
        for name, value in members.items():
            if name not in own:
                home = _homes(cls).get(name)
                if home is None:
                    unknown.append(name)
                else:
                    loose.setdefault(home, {})[name] = value
                continue
            kind = group_of(own[name])
            if kind is not None and isinstance(value, Mapping):
                loose[name] = {**loose.get(name, {}), **value}
            else:
                found[name] = value
        if unknown:
            raise ValueError(f"there is no option {', '.join(sorted(unknown))}")
        for home, given in loose.items():
            kind = group_of(own[home])
            assert kind is not None and issubclass(kind, Options)
            found[home] = kind.of_members(given)
        return cls(**found)

    def of(self, kind: type[_Group]) -> _Group:
        """Return the group of an interface's parameters by its class."""
        found = next(v for m in fields(self) if isinstance(v := getattr(self, m.name), kind))
        return found

    def with_group(self: _Options, group: Options) -> _Options:
        """Return the same with another group in place of the one of its class."""
        (name,) = (m.name for m in fields(self) if group_of(m) is type(group))
        return replace(self, **{name: group})

    def value_of(self, name: str) -> Any:
        """Return the value of a member, one of its own or of a group's; None where it has none of that name."""
        homes = _homes(type(self))
        if name not in homes:
            return None
        home = homes[name]
        return getattr(self if home is None else getattr(self, home), name)

    def with_values(self: _Options, **values: Any) -> _Options:
        """Return the same with other values of members, of its own or of its groups'."""
        homes = _homes(type(self))
        changes: dict[str, Any] = {}
        for name, value in values.items():
            home = homes.get(name)
            if home is None:
                changes[name] = value
            else:
                changes[home] = replace(changes.get(home, getattr(self, home)), **{name: value})
        return replace(self, **changes)

    def changes_to(self: _Options, other: _Options, route: str) -> dict[str, Any] | None:
        """Return the members by which another registration differs, where a call of this route can change them all.

        None: it is another model's. What no state file keeps does not count.
        """
        if self.kept_members() == other.kept_members():
            return {}
        values = other.values_for(route)
        changed = {name: v for name, v in values.items() if v != self.value_of(name)}
        is_all = self.with_values(**changed).kept_members() == other.kept_members()
        return changed if is_all else None

    def values_for(self, route: str) -> dict[str, Any]:
        """Return the values that a call of this route can give, by their members."""
        return {
            name: self.value_of(name)
            for name, declared in self.all_parameters()
            if route in declared.routes
        }

    def kept_members(self) -> dict[str, Any]:
        """Return the members for a state file, JSON-able: those that are not as they are by default."""
        found: dict[str, Any] = {}
        for member in fields(self):
            value = getattr(self, member.name)
            if isinstance(value, Options):
                value = value.kept_members()
                if value:
                    found[member.name] = value
            elif member.metadata.get("is_kept", True) and value != _default(member):
                found[member.name] = value
        return found

    def of_part(self: _Options, **changes: Any) -> _Options:
        """Return the options of a model that comes with this one: it runs as this one is to, and is itself another."""
        itself: dict[str, Any] = {}
        for member in fields(self):
            value = getattr(self, member.name)
            if isinstance(value, Options):
                itself[member.name] = value.of_part()
            elif not member.metadata.get("is_shared", True):
                itself[member.name] = _default(member)
        return replace(self, **{**itself, **changes})

    def or_else(self: _Options, **others: Any) -> _Options:
        """Return the same with these members, its own or its groups', where it says nothing."""
        missing = {
            name: value
            for name, value in others.items()
            if value is not None and self.value_of(name) is None
        }
        return self.with_values(**missing) if missing else self

    @classmethod
    def own_parameters(cls) -> list[tuple[str, Parameter]]:
        """Return its parameters by the names of its members, without those of groups."""
        return [
            (member.name, declared)
            for member in fields(cls)
            if (declared := parameter_of(member)) is not None
        ]

    @classmethod
    def all_parameters(cls) -> list[tuple[str, Parameter]]:
        """Return its parameters by the names of their members, those of groups behind its own."""
        return [*_all_parameters(cls)]

    def with_defaults(self: _Options, settings: Defaults) -> _Options:
        """The same with the defaults of its own parameters where it says nothing: the server's, else those of all."""
        found: dict[str, Any] = {}
        for member in fields(self):
            declared = parameter_of(member)
            if declared is None or getattr(self, member.name) is not None:
                continue
            value = settings.get(declared.setting) if declared.setting else None
            if value is None and declared.default:
                value = declared.kind.convert(declared.default, declared.unit)
            found[member.name] = value
        return replace(self, **found)

    def for_new_workers(self) -> dict[str, Any]:
        """Return its parameters, by their names, that workers have from their start on: a change replaces them."""
        return {
            declared.name: self.value_of(member)
            for member, declared in self.all_parameters()
            if declared.needs_workers
        }

    def given(self) -> dict[str, Any]:
        """Return its own members that somebody has said something of."""
        return {
            member.name: value
            for member in fields(self)
            if (value := getattr(self, member.name)) is not None
        }

    def describe(self) -> dict[str, Any]:
        """Return the members of a model's description that tell of parameters, JSON-able, as they are declared."""
        found: dict[str, Any] = {}
        for member in fields(self):
            value = getattr(self, member.name)
            if isinstance(value, Options):
                found |= value.describe()
                continue
            declared = parameter_of(member)
            shown = declared.shown if declared is not None else None
            if shown is None or shown.is_of_model:
                continue
            if value is not None and value != shown.unless:
                found[shown.name] = list(value) if isinstance(value, tuple) else value
        return found


def _all_parameters(options: type[Options]) -> tuple[tuple[str, Parameter], ...]:
    found = _PARAMETERS.get(options)
    if found is None:
        groups = [kind for member in fields(options) if (kind := group_of(member)) is not None]
        own = (kind.own_parameters() for kind in (options, *groups))
        found = _PARAMETERS[options] = tuple(each for parameters in own for each in parameters)
    return found


def read_parameter(declared: Parameter, call: Call, *, is_json: bool) -> Any:
    """The value of one parameter in a call; None where it has none. Raises InvalidCall with the parameter's name."""
    if not (is_json or declared.is_in_query):
        return None
    for name in (declared.name, *declared.aliases):
        value = call.get(name)
        if value is None or (value == "" and not declared.kind.takes_empty):
            continue
        try:
            converted = declared.kind.convert(value, declared.unit_of(is_json=is_json))
        except InvalidValue as error:
            raise InvalidCall(f"Parameter {name} {error}") from None
        caveat = declared.kind.caveat(value)
        if caveat is not None:
            call.note(f"{name}{caveat}")
        return converted
    return None


def _default(member: Field[Any]) -> Any:
    return member.default if member.default_factory is MISSING else member.default_factory()


def _homes(options: type[Options]) -> dict[str, str | None]:
    """Return the group that has each member, by the member's name; None for those that are in no group."""
    homes = _HOMES.get(options)
    if homes is not None:
        return homes
    homes = {}
    for member in fields(options):
        kind = group_of(member)
        if kind is not None:
            for inner in fields(kind):
                homes.setdefault(inner.name, member.name)
    homes |= {member.name: None for member in fields(options)}
    _HOMES[options] = homes
    return homes
