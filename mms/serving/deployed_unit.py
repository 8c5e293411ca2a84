"""A model's place in a deployment of Seldon's, as Seldon's operator tells it each container in its environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_ID: Final = "PREDICTIVE_UNIT_ID"
_IMAGE: Final = "PREDICTIVE_UNIT_IMAGE"


@dataclass(frozen=True, slots=True)
class DeployedUnit:
    """A model by itself."""

    name: str
    deployment: str

    @classmethod
    def alone(cls, model_name: str) -> DeployedUnit:
        return cls(model_name, model_name)

    def load_options(self, environ: Mapping[str, str]) -> dict[str, Any]:
        """Members of `Load.options`: what clients are told of a component, where somebody named it.

        `environ`: the server's. A graph tells its nodes with each call.
        """
        said = {"unit_id": environ.get(_ID), "unit_image": environ.get(_IMAGE)}
        return {name: value for name, value in said.items() if value is not None}
