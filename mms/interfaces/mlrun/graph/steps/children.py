"""Steps that have others by their names: flows and routers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from mms.interfaces.mlrun.errors import GraphError
from mms.interfaces.mlrun.graph.steps.base import BaseStep


class ParentStep(BaseStep, ABC):
    """A step with others, which it has as a mapping has them."""

    _children: dict[str, Any]

    def get_children(self) -> list[BaseStep]:
        return list(self._children.values())

    def __iter__(self) -> Iterator[str]:
        return iter(self._children)

    def __contains__(self, name: object) -> bool:
        return name in self._children

    def __delitem__(self, name: str) -> None:
        self._remove([name])

    def _remove(self, names: list[str] | None) -> None:
        """Remove those, or all. Raises GraphError for one that is not there."""
        for name in list(self._children) if names is None else names:
            if name not in self._children:
                raise GraphError(self._lacks(name))
            del self._children[name]

    @abstractmethod
    def _lacks(self, name: str) -> str:
        """Return what is said where there is no such step."""
