"""Which models have routes of their own below `/v2`, in place of those of the Open Inference Protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mms.core import Registry
from mms.interfaces import AUTO, INTERFACES

if TYPE_CHECKING:
    from mms.serving.served.served_model import ServedModel

_DIALECTS: Final = frozenset(each.name for each in INTERFACES if each.has_v2_dialect)


class Dialects:
    """A view of the registry, which is looked at anew after each change of it."""

    def __init__(self, registry: Registry[Any]) -> None:
        self._registry = registry
        self._generation = -1
        self._count = 0
        self._is_alone = False

    def __repr__(self) -> str:
        return f"<Dialects, {self._count} models of them>"

    @property
    def are_there(self) -> bool:
        """Whether there is a model that has such routes."""
        self._look()
        return self._count > 0

    @property
    def are_alone(self) -> bool:
        """Whether there are such models, and no others."""
        self._look()
        return self._is_alone

    def has(self, served: ServedModel) -> bool:
        """Return whether a model has such routes; one whose interface is not known may have them beside others."""
        if served.interface == AUTO:
            return self.are_there
        return served.interface in _DIALECTS

    def concerns(self, name: str, version: str | None) -> bool:
        """Return whether a path names one of those models, or no model where there are no others."""
        self._look()
        if not self._count:
            return False
        if self._is_alone:
            return True
        registry = self._registry
        if version is not None and registry.has(name, version):
            return self.has(registry.get(name, version))
        if registry.has_name(name):
            return self.has(registry.get(name))
        # They may be named with their version.
        name, sign, version = name.partition(":")
        return bool(sign) and registry.has(name, version) and self.has(registry.get(name, version))

    def _look(self) -> None:
        if self._generation != self._registry.generation:
            self._generation = self._registry.generation
            models = self._registry.all()
            self._count = sum(served.interface in _DIALECTS for served in models)
            self._is_alone = bool(models) and self._count == len(models)
