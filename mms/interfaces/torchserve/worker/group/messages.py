"""What a worker and the processes of its group say to each other, on sockets of this machine."""

from __future__ import annotations

from typing import Any, NamedTuple

#: Where the worker listens; its folder is for its own user alone.
ADDRESS_VARIABLE = "MMS_GROUP_ADDRESS"


class GroupBatch(NamedTuple):
    """A batch, as `Context._begin` takes it, with what the entry point is called with."""

    ids: list[bytes]
    types: list[Any]
    blocks: list[bytes]
    data: list[dict[str, Any]]


class GroupAnswer(NamedTuple):
    """What the entry point of one process has made of a load or a batch.

    `heads`: status, phrase and headers of each answer; None where nobody set any. `failure`: the text of an exception;
    `kind` is its name, for those that have a status of their own, and `code` the one of a PredictionException.
    """

    values: Any = None
    heads: list[tuple[Any, Any, dict[Any, Any]]] | None = None
    metrics: tuple[Any, ...] = ()
    failure: str = ""
    kind: str = ""
    code: Any = 500
