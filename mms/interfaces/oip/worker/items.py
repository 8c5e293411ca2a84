"""Requests of other protocols to a model that takes tensors alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from mms.tensors.server import TensorServer
from mms.wire import Item, Load, ModelOperation, ResultItem
from mms.worker.loading.model import Tell
from mms.worker.tensors.served import ServedTensors

#: The protocol whose requests are JSON: the only one that a client of another may have written its body in.
_JSON = "oip-json"
_JSON_OPERATION = ModelOperation(protocol=_JSON)

_TakeSeries: TypeAlias = "Callable[[], list[dict[str, Any]]]"


class ClosableServer(TensorServer, Protocol):
    """A model that has something to do at its end."""

    def close(self) -> None:
        """After the last batch."""


class TensorOnlyItems:
    """Serves a body of JSON as a request of Open Inference, from whatever path it comes."""

    def __init__(self, load: Load, server: ClosableServer) -> None:
        self._model_name = load.model_name
        self._served = ServedTensors(load, server)
        self._close: Callable[[], None] = server.close
        self._take_series: _TakeSeries | None = getattr(server, "take_series", None)

    def __repr__(self) -> str:
        return f"<TensorOnlyItems of model {self._model_name}>"

    @property
    def is_ready(self) -> bool:
        return True

    def start(self, tell: Tell) -> None:
        return

    def close(self) -> None:
        self._close()

    def take_series(self) -> list[dict[str, Any]]:
        return [] if self._take_series is None else self._take_series()

    def serve_items(self, items: list[Item]) -> list[ResultItem]:
        return self._served.serve_items([(*item[:7], _as_json(item[7])) for item in items])


def _as_json(operation: ModelOperation | None) -> ModelOperation:
    return _JSON_OPERATION if operation is None else operation._replace(protocol=_JSON)
