"""A loaded model, whatever interface its code is written to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from mms.context import Context
from mms.wire import Item, ResultItem

if TYPE_CHECKING:
    from mms.tensors.server import TensorServer
    from mms.wire import ModelOperation

EntryPoint = Callable[[Any, Context], Any]
#: Says, from any thread, whether the model is ready, and why it is not, where that was not known at first.
Tell = Callable[[bool, str], None]


class ItemServer(Protocol):
    """A model that reads requests and writes answers itself."""

    def serve_items(self, items: list[Item]) -> list[ResultItem]:
        """Return an answer for each item. Raises MemoryError and what no `except Exception` catches."""

    def take_series(self) -> list[dict[str, Any]]:
        """Return the updates of Prometheus series since the last time, as `Metric.series`."""

    @property
    def is_ready(self) -> bool:
        """False where the model loads on beside its first requests."""

    def start(self, tell: Tell) -> None:
        """Prepare the process that serves, before its first batch: the place for threads."""

    def close(self) -> None:
        """End what it has open, after the last batch."""


class RequestRules(NamedTuple):
    """How requests are read for an entry point whose interface does not read them as MMS does.

    `keeps_undecodable`: a body or a part that is not what its content type says reaches the entry point as bytes; else
    the request fails. `headers_of`: returns the header lines, as `Name\nvalue`, that the entry point finds besides
    those of the client, for what a request asks besides a prediction.
    """

    keeps_undecodable: bool = False
    headers_of: Callable[[ModelOperation], bytes] | None = None


_PLAIN_RULES = RequestRules()


class Model:
    """An entry point and its context. `problem`: the traceback of an error at load that was let pass.

    `items`: serves in place of the entry point. `tensors`: serves what comes by protocols of tensors beside `items`;
    None: it takes none. An entry point takes them as it takes all else. `is_continuous`: the entry point is that of a
    `RunningBatch`.
    """

    __slots__ = (
        *("context", "entry_point", "interface", "is_continuous", "items", "problem", "rules"),
        "tensors",
    )

    def __init__(
        self,
        interface: str,
        entry_point: EntryPoint,
        context: Context,
        problem: Exception | None = None,
        items: ItemServer | None = None,
        tensors: TensorServer | None = None,
        rules: RequestRules = _PLAIN_RULES,
        *,
        is_continuous: bool = False,
    ) -> None:
        self.interface = interface
        self.entry_point = entry_point
        self.context = context
        self.problem = problem
        self.items = items
        self.tensors = tensors
        self.rules = rules
        self.is_continuous = is_continuous

    def __repr__(self) -> str:
        return f"<Model {self.context.model_name}, interface {self.interface}>"
