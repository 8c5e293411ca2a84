"""Who a component is to its clients and to Prometheus: its id and image in the deployment."""

from __future__ import annotations

import os

from mms.seldon.meta import own_request_path
from mms.seldon.series import default_labels

_ID = "PREDICTIVE_UNIT_ID"
_IMAGE = "PREDICTIVE_UNIT_IMAGE"
#: By it feedback tells the routing of a component that has no id.
_DEFAULT_ID = "0"


class Unit:
    """`request_path`: its entry in the meta of answers. `labels`: those of its series. `image`: None without one."""

    __slots__ = ("image", "labels", "request_path", "routing_id")

    def __init__(self, unit_id: str | None, image: str | None, worker_id: str | None) -> None:
        self.request_path = own_request_path(unit_id, image)
        self.routing_id = _DEFAULT_ID if unit_id is None else unit_id
        self.image = image
        self.labels = default_labels(unit_id, image, worker_id)

    def __repr__(self) -> str:
        return f"<Unit {self.routing_id}, image {self.image}>"


class Units:
    """The component's own unit, and those that the nodes of graphs give it for a call."""

    #: A graph has a handful of nodes; clients name none.
    _MAX_REMEMBERED = 256

    def __init__(self, unit_id: str | None, image: str | None, is_strict: bool) -> None:
        """Without id or image those of Seldon's environment. Raises ValueError for wrong PREDICTOR_LABELS."""
        self._id = os.environ.get(_ID) if unit_id is None else unit_id
        self._image = os.environ.get(_IMAGE) if image is None else image
        self._is_strict = is_strict
        self._pid = 0
        self._own = self._make(self._id, self._image)
        self._others: dict[tuple[str | None, str | None], Unit] = {}

    def __repr__(self) -> str:
        return f"<Units, own {self.own!r}>"

    @property
    def own(self) -> Unit:
        if self._is_strict and self._pid != os.getpid():
            # The label worker_id is that of the process, and this one may have been forked.
            self._own = self._make(self._id, self._image)
            self._others.clear()
        return self._own

    def find(self, unit_id: str | None, image: str | None) -> Unit:
        """The unit of a call; what it does not name is the component's own."""
        own = self.own
        if unit_id is None and image is None:
            return own
        key = (unit_id, image)
        found = self._others.get(key)
        if found is None:
            if len(self._others) >= self._MAX_REMEMBERED:
                self._others.clear()
            found = self._others[key] = self._make(
                self._id if unit_id is None else unit_id, self._image if image is None else image
            )
        return found

    def _make(self, unit_id: str | None, image: str | None) -> Unit:
        self._pid = os.getpid()
        return Unit(unit_id, image, str(self._pid) if self._is_strict else None)
