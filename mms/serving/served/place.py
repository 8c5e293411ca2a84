"""A model's place in a deployment: what its code reads of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any


class DeploymentPlace(ABC):
    """The node of a graph that a model is, or the model by itself."""

    __slots__ = ()

    @classmethod
    @abstractmethod
    def alone(cls, model_name: str) -> DeploymentPlace:
        """Return the place of a model that is no node."""

    @property
    @abstractmethod
    def arguments(self) -> tuple[Mapping[str, Any], ...]:
        """The arguments of the model's class that its node has; they go over the model's own of the same name."""

    @abstractmethod
    def variables(
        self, environ: Mapping[str, str], parameters: Iterable[Mapping[str, Any]]
    ) -> dict[str, str]:
        """Return what a worker has in its environment. `parameters`: the arguments of the model's class."""
