"""A model's place in a deployment of Seldon's, as Seldon's operator tells it each container in its environment."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mms.serving.served.place import DeploymentPlace

ID: Final = "PREDICTIVE_UNIT_ID"
IMAGE: Final = "PREDICTIVE_UNIT_IMAGE"
_PARAMETERS: Final = "PREDICTIVE_UNIT_PARAMETERS"
_DEPLOYMENT: Final = "SELDON_DEPLOYMENT_ID"
_PREDICTOR: Final = "PREDICTOR_ID"
_LABELS: Final = "PREDICTOR_LABELS"
#: The predictor of what no document names one for.
_DEFAULT_PREDICTOR: Final = "default"


@dataclass(frozen=True, slots=True)
class DeployedUnit(DeploymentPlace):
    """The node of a graph that a model is, or the model by itself.

    `parameters`: those that the graph's document gives the node; they go over the model's own of the same name.
    """

    name: str
    deployment: str
    predictor: str = ""
    predictor_version: str = ""
    image: str | None = None
    parameters: tuple[Mapping[str, Any], ...] = ()
    is_node: bool = False

    @classmethod
    def alone(cls, model_name: str) -> DeployedUnit:
        return cls(model_name, model_name)

    @property
    def arguments(self) -> tuple[Mapping[str, Any], ...]:
        return self.parameters

    def variables(
        self, environ: Mapping[str, str], parameters: Iterable[Mapping[str, Any]]
    ) -> dict[str, str]:
        """Return what a worker has in its environment. `parameters`: of the component's constructor.

        The server's own variables, `environ`, stand for models that are no nodes, its parameters for all without any.
        """
        named = {
            ID: self.name,
            _DEPLOYMENT: self.deployment,
            _PREDICTOR: self.predictor or _DEFAULT_PREDICTOR,
        }
        if not self.is_node:
            named |= {name: environ[name] for name in named if environ.get(name)}
        if self.image is not None:
            named[IMAGE] = self.image
        if self.predictor_version:
            named[_LABELS] = json.dumps({"version": self.predictor_version})
        given = [dict(parameter) for parameter in parameters]
        if given or _PARAMETERS not in environ:
            named[_PARAMETERS] = json.dumps(given)
        return named
