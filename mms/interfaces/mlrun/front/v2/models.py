"""The registered models as the `/v2` tree sees them: by key, in order, and the one at the root."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mms.core import Registry
from mms.interfaces import AUTO
from mms.interfaces.mlrun.front.router import front_router

if TYPE_CHECKING:
    from mms.serving.served.served_model import ServedModel

INTERFACE: Final = "mlrun"


class _View(NamedTuple):
    """What follows from the models of one generation of the registry."""

    keys: tuple[str, ...]
    root: ServedModel | None
    is_root_owned: bool
    #: Routers by the names that they have in MLRun.
    aliases: Mapping[str, ServedModel] = MappingProxyType({})
    are_alone: bool = False


class V2Models:
    """A view of the registry, which is looked at anew after each change of it."""

    def __init__(
        self,
        registry: Registry[Any],
        users_of: Callable[[str], Collection[str]],
        default_model: str | None,
    ) -> None:
        """`users_of`: the graphs that a model is part of. `default_model`: key of a root that was chosen."""
        self._registry = registry
        self._users_of = users_of
        self._default_model = default_model
        self._generation = -1
        self._view = _View((), None, False)

    def __repr__(self) -> str:
        return f"<V2Models {', '.join(self.keys)}>"

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of MLRun's models, in the order of their registration; routers and graphs come last."""
        return self._current().keys

    @property
    def root(self) -> ServedModel | None:
        """The model for requests that name none: the default, the only router or graph, else the first of MLRun's.

        A default model of another interface leaves the root to MMS.
        """
        return self._current().root

    @property
    def is_root_owned(self) -> bool:
        """Whether `/` has MLRun's meaning for all methods: by the settings, or since there are no other models."""
        return self._current().is_root_owned

    @property
    def are_alone(self) -> bool:
        """Whether there are models of MLRun's, and no others."""
        return self._current().are_alone

    def find(self, key: str) -> tuple[ServedModel, str | None] | None:
        """Return the model of a key, and the version that it is to be asked by: None where the key leaves it open."""
        registry = self._registry
        if registry.has_name(key):
            return registry.get(key), None
        name, sign, version = key.partition(":")
        if sign and registry.has(name, version):
            return registry.get(name, version), version
        alias = self._current().aliases.get(key)
        return None if alias is None else (alias, alias.version)

    def speaks(self, served: ServedModel) -> bool:
        """Return whether a model is MLRun's, or may turn out to be."""
        return bool(self.keys) if served.interface == AUTO else served.interface == INTERFACE

    def is_child(self, served: ServedModel) -> bool:
        """Return whether it was registered as part of the graph at the root, which stands before it."""
        root = self.root
        return root is not None and root.name in self._users_of(served.name)

    def all(self) -> list[ServedModel]:
        return self._registry.all()

    def _current(self) -> _View:
        if self._generation != self._registry.generation:
            self._generation = self._registry.generation
            self._view = self._look()
        return self._view

    def _look(self) -> _View:
        every: list[ServedModel] = self._registry.all()
        models = [served for served in every if served.interface == INTERFACE]
        routers = [served for served in models if is_router(served)]
        plain = [served for served in models if not is_router(served)]
        keys = tuple(key_of(served) for served in (*plain, *routers))
        aliases: dict[str, ServedModel] = {}
        for router in routers:
            in_front = front_router(router)
            if in_front is not None and in_front.alias:
                aliases.setdefault(in_front.alias, router)
        is_alone = bool(models) and len(models) == len(every)
        if self._default_model is not None:
            self._view = _View(keys, None, False, aliases, is_alone)
            found = self.find(self._default_model)
            root = found[0] if found is not None and found[0] in models else None
            return _View(keys, root, root is not None, aliases, is_alone)
        root = None
        if len(routers) == 1:
            root = routers[0]
        elif is_alone or len(models) == 1:
            root = models[0]
        return _View(keys, root, is_alone, aliases, is_alone)


def key_of(served: ServedModel) -> str:
    return served.name if served.version is None else f"{served.name}:{served.version}"


def is_router(served: ServedModel) -> bool:
    """Return whether it answers by asking other models, in the front or in a worker."""
    return served.is_composite or served.reads_paths


def first_unready(models: Iterable[ServedModel]) -> ServedModel | None:
    """Return a model that workers were asked for and none has loaded."""
    for served in models:
        if not served.is_ready and served.is_wanted:
            return served
    return None
