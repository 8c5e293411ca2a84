"""Which models are asked by others, and stay while those do."""

from __future__ import annotations

from mms.core import Registry
from mms.errors import Conflict
from mms.serving.served import ServedModel


class Dependencies:
    """Reads from the registry which models depend on which."""

    def __init__(self, registry: Registry[ServedModel]) -> None:
        self._registry = registry

    def __repr__(self) -> str:
        return f"<Dependencies in {self._registry!r}>"

    def users_of(self, name: str) -> list[str]:
        """Return the names of the models that ask the model of a name, in order."""
        users = set(self._composites_with(name))
        if self._registry.has_name(name):
            # A part has its owner before that is registered itself.
            users |= {s.owner for s in self._registry.versions(name) if s.owner is not None}
        return sorted(users)

    def check_removable(self, served: ServedModel) -> None:
        """Raises Conflict for the part of another model, and for the last version of a model that a graph asks."""
        if served.owner is not None:
            raise Conflict(
                f"Model {served.full_name} belongs to the function {served.owner}; "
                "unregister the function, and its models go with it."
            )
        if len(self._registry.versions(served.name)) > 1:
            return
        users = self._composites_with(served.name)
        if users:
            raise Conflict(
                f"Model {served.name} is used by the graph {', '.join(users)}; "
                "unregister the graph first."
            )

    def _composites_with(self, name: str) -> list[str]:
        return sorted({served.name for served in self._registry.askers() if served.uses(name)})
