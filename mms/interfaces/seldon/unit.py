"""Who a component is to its clients and to Prometheus: its id and image in the deployment."""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from mms.interfaces.seldon.meta import own_request_path
from mms.interfaces.seldon.series import ENVIRONMENT, Deployment, default_labels

#: By it feedback tells the routing of a component that has no id.
_DEFAULT_ID: Final = "0"
#: The tag of an image that has none, and of a model without versions.
NO_VERSION: Final = "latest"


class UnitNames(NamedTuple):
    """What a deployment calls a component, or one call of it. None: nothing."""

    id: str | None = None
    image: str | None = None
    deployment: Deployment = ENVIRONMENT

    @classmethod
    def of_environment(cls) -> UnitNames:
        """Return what Seldon's operator calls the container that this process is in."""
        return cls(os.environ.get("PREDICTIVE_UNIT_ID"), os.environ.get("PREDICTIVE_UNIT_IMAGE"))


class Unit:
    """`request_path`: its entry in the meta of answers. `labels`: those of its series. `image`: None without one."""

    __slots__ = ("image", "labels", "request_path", "routing_id")

    def __init__(self, names: UnitNames, labels: dict[str, str]) -> None:
        self.request_path = own_request_path(names.id, names.image)
        self.routing_id = _DEFAULT_ID if names.id is None else names.id
        self.image = names.image
        self.labels = labels

    def __repr__(self) -> str:
        return f"<Unit {self.routing_id}, image {self.image}>"


class Units:
    """The component's own unit, and those that the nodes of graphs give it for a call."""

    #: A graph has a handful of nodes; clients name none.
    _MAX_REMEMBERED = 256

    def __init__(
        self,
        names: UnitNames,
        is_strict: bool,
        *,
        model_name: str | None = None,
        model_version: str | None = None,
    ) -> None:
        """`model_name` and `model_version` are in the labels of series where no deployment names the component.

        Raises ValueError for wrong PREDICTOR_LABELS.
        """
        self._names = names
        self._model_name = model_name
        self._model_image = (
            None if model_name is None else f"{model_name}:{model_version or NO_VERSION}"
        )
        self._is_strict = is_strict
        self._pid = 0
        self._own = self._make(names)
        self._others: dict[UnitNames, Unit] = {}

    def __repr__(self) -> str:
        return f"<Units, own {self.own!r}>"

    @property
    def own(self) -> Unit:
        if self._is_strict and self._pid != os.getpid():
            # The label worker_id is that of the process, and this one may have been forked.
            self._own = self._make(self._names)
            self._others.clear()
        return self._own

    def find(self, names: UnitNames) -> Unit:
        """Return the unit of a call; what it does not name is the component's own."""
        own = self.own
        if names == UnitNames():
            return own
        found = self._others.get(names)
        if found is None:
            if len(self._others) >= self._MAX_REMEMBERED:
                self._others.clear()
            found = self._others[names] = self._make(
                UnitNames(
                    self._names.id if names.id is None else names.id,
                    self._names.image if names.image is None else names.image,
                    names.deployment,
                )
            )
        return found

    def _make(self, names: UnitNames) -> Unit:
        self._pid = os.getpid()
        labels = default_labels(
            names.id or self._model_name,
            names.image or self._model_image,
            str(self._pid) if self._is_strict else None,
            names.deployment,
        )
        return Unit(names, labels)
