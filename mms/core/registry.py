"""Which models there are: names, their versions, and the default of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from mms.errors import InvalidVersion, ModelNotFound, ModelVersionNotFound, NameTaken


class Registered(Protocol):
    """What the registry must know of an entry."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str | None: ...


_Entry = TypeVar("_Entry", bound=Registered)


class Registry(Generic[_Entry]):
    """Entries by (name, version). The first version of a name is its default until another is made it.

    A model without a version in its manifest is kept under None and answers to its name alone. With every change
    `generation` changes and `on_change` is called, so that look-ups by path can be cached.
    """

    def __init__(self, asks_others: Callable[[_Entry], bool] = lambda _: False) -> None:
        """`asks_others`: whether an entry asks other ones. It is asked when the entry is added."""
        self._asks_others = asks_others
        self._names: dict[str, dict[str | None, _Entry]] = {}
        self._defaults: dict[str, str | None] = {}
        #: Those that ask others, which are few: in the order of registration.
        self._askers: dict[_Entry, None] = {}
        self.generation = 0
        self.on_change: Callable[[], None] = lambda: None

    def __repr__(self) -> str:
        return f"<Registry of {len(self._names)} models>"

    def __len__(self) -> int:
        return sum(len(versions) for versions in self._names.values())

    def changed(self) -> None:
        """Something that look-ups depend on is different now."""
        self.generation += 1
        self.on_change()

    def has(self, name: str, version: str | None) -> bool:
        """Return whether exactly this version is registered; None is the version of a manifest without one."""
        return version in self._names.get(name, {})

    def has_name(self, name: str) -> bool:
        """Return whether any version of a name is registered."""
        return name in self._names

    def add(self, entry: _Entry, replaced: _Entry | None = None) -> None:
        """Raise Conflict for a name and version that are taken; not by the entry that it replaces, if any."""
        self.check_free(entry, replaced)
        versions = self._names.setdefault(entry.name, {})
        versions[entry.version] = entry
        if self._asks_others(entry):
            self._askers[entry] = None
        if len(versions) == 1:
            self._defaults[entry.name] = entry.version
        if replaced is not None:
            if replaced.name == entry.name and self.is_default(replaced):
                self._defaults[entry.name] = entry.version
            # It may have had another name or version, and is still there then.
            self.remove(replaced)
            self._askers.pop(replaced, None)
        self.changed()

    def check_free(self, entry: _Entry, replaced: _Entry | None) -> None:
        """Raise Conflict where `add` would."""
        there = self._names.get(entry.name, {})
        if entry.version in there and there[entry.version] is not replaced:
            raise NameTaken(entry.name, entry.version)

    def holds(self, entry: _Entry) -> bool:
        """Return whether this very entry is registered, and not another one of its name and version."""
        return self._names.get(entry.name, {}).get(entry.version) is entry

    def remove(self, entry: _Entry) -> bool:
        """Remove this very entry; return whether it was there. Another one of its name and version stays."""
        if not self.holds(entry):
            return False
        versions = self._names[entry.name]
        del versions[entry.version]
        self._askers.pop(entry, None)
        if not versions:
            del self._names[entry.name]
            del self._defaults[entry.name]
        elif self._defaults[entry.name] == entry.version:
            self._defaults[entry.name] = next(iter(versions))
        self.changed()
        return True

    def get(self, name: str, version: str | None = None) -> _Entry:
        """Return the version asked for, or the default. Raises ModelNotFound or ModelVersionNotFound."""
        versions = self._names.get(name)
        if versions is None:
            raise ModelNotFound(f"Model not found: {name}")
        if version is None:
            return versions[self._defaults[name]]
        entry = versions.get(version)
        if entry is None:
            raise ModelVersionNotFound(f"Model version: {version} does not exist for model: {name}")
        return entry

    def set_default(self, name: str, version: str) -> None:
        self._defaults[name] = self.get(name, version).version
        self.changed()

    def is_default(self, entry: _Entry) -> bool:
        return self._defaults.get(entry.name) == entry.version

    def check_removable(self, entry: _Entry) -> None:
        """Raise InvalidVersion for a default that other versions stand beside."""
        if len(self._names.get(entry.name, {})) > 1 and self.is_default(entry):
            raise InvalidVersion(f"Cannot remove default version for model {entry.name}")

    def versions(self, name: str) -> list[_Entry]:
        """Return all versions of a name, in the order of registration. Raises ModelNotFound."""
        self.get(name)
        return list(self._names[name].values())

    def defaults(self) -> list[_Entry]:
        """Return the default version of each name, by name."""
        return [self.get(name) for name in sorted(self._names)]

    def askers(self) -> list[_Entry]:
        """Return the models that ask others."""
        return list(self._askers)

    def all(self) -> list[_Entry]:
        return [entry for versions in self._names.values() for entry in versions.values()]
