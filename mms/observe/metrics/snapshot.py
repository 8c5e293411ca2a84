"""The state of the models at one moment, as gauges show it. The serving side makes these; observe only reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class WorkerSnapshot:
    """One worker. `state` is the value of a `WorkerState`."""

    name: str
    pid: int
    state: str
    memory_bytes: int = 0
    restarts: int = 0
    gpu_id: int | None = None
    #: Why it is in its state; empty where there is nothing to say.
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ModelSnapshot:
    """One model version. `in_flight` counts requests that workers have, `queue_length` those that none has begun."""

    name: str
    version: str
    queue_length: int
    queue_capacity: int
    in_flight: int = 0
    #: How long the one has waited that has been in the queue for longest.
    oldest_wait_s: float = 0.0
    #: adaptive or fixed, and a word for why
    batch_policy: tuple[str, str] = ("", "")
    #: (what became of them, where they were) -> requests without an answer of the model
    unanswered: Mapping[tuple[str, str], int] = field(default_factory=dict)
    workers: Sequence[WorkerSnapshot] = field(default=())
    #: Answers that are being sent in parts, and what became of those before, with `chunks` and `chunk_bytes`; empty
    #: where there were none.
    open_streams: int = 0
    streams: Mapping[str, int] = field(default_factory=dict)
    #: What its workers hold, where memory is limited; None: it is not.
    resident_bytes: int | None = None
    #: How often it gave way to others, by the reason.
    evictions: Mapping[str, int] = field(default_factory=dict)
    #: How many workers would be enough by its load; None: it is not scaled by load.
    wanted_workers: int | None = None
    #: Decisions of its scaling, by their kind.
    scaling_decisions: Mapping[str, int] = field(default_factory=dict)
