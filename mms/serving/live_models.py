"""The models that health depends on, kept apart from those that sleep, of which there may be ten thousand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mms.core import Registry

if TYPE_CHECKING:
    from mms.serving.served import PooledModel, ServedModel


class LiveModels:
    """Knows which models have workers, or are to have some. Called on the event loop."""

    def __init__(self, registry: Registry[ServedModel]) -> None:
        self._registry = registry
        self._models: dict[ServedModel, None] = {}

    def __repr__(self) -> str:
        return f"<LiveModels, {len(self._models)} of {self._registry!r}>"

    def note(self, served: PooledModel) -> None:
        """A model has been scaled, or a worker of it has come or gone."""
        if served.pool.min_workers or served.workers:
            self._models[served] = None
        else:
            self._models.pop(served, None)

    def forget(self, served: ServedModel) -> None:
        """A model is gone for good."""
        self._models.pop(served, None)

    def all(self) -> list[ServedModel]:
        """Return those that are registered, and the models that answer by asking others."""
        found: dict[ServedModel, None] = {
            served: None for served in self._models if self._registry.holds(served)
        }
        return list(found | dict.fromkeys(self._registry.askers()))
