"""What a batching policy decides, and what it is shown for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sized
from typing import ClassVar, Final, Protocol

from mms.core.batching.cost import ArrivalGap, BatchCost

#: The parameters of a registration that are for batching alone.
BATCHING_PARAMETERS: Final = frozenset({"batch_size", "max_batch_delay"})


class WaitingRequest(Protocol):
    """A request in the queue. Times are of `time.monotonic()`, in seconds."""

    received_at: float
    #: It was with a worker that ended, and is to run alone.
    is_solo: bool


class WaitingRequests(Sized, Protocol):
    """Requests in the order in which they go."""

    def __getitem__(self, index: int, /) -> WaitingRequest: ...


class BatchLimits(Protocol):
    """What the registration sets."""

    max_batch_delay_s: float


class FreeWorker(Protocol):
    """The worker that the batch is for."""

    batch_size: int

    @property
    def in_flight(self) -> Sized:
        """The batches that it has already."""


class BatchQueue(Protocol):
    """A model version, as its policy sees it."""

    cost: BatchCost
    arrivals: ArrivalGap
    #: No new requests come.
    is_closed: bool
    #: When `dispatch` is to ask again though nothing happened, of `time.monotonic()`; the policy sets it.
    wake_at: float | None

    @property
    def config(self) -> BatchLimits:
        """What its registration sets."""

    @property
    def queue(self) -> WaitingRequests:
        """What waits; at least one request where a policy is asked."""

    @property
    def workers(self) -> Sized:
        """Those that share the work, idle or not."""

    def has_more_idle_workers(self) -> bool:
        """Return whether another worker is idle, too."""


class BatchingPolicy(ABC):
    """Decides how many of the waiting requests go to a worker now. Each model version has an object of its own."""

    #: As registrations and settings name it.
    name: ClassVar[str]
    #: What it does, in a few words.
    help: ClassVar[str]
    #: Those of them that it goes by; of the others a registration is told that they have no effect.
    parameters: ClassVar[frozenset[str]] = BATCHING_PARAMETERS

    def __init__(self) -> None:
        #: Since when a batch waits to be full, which counts as taken then; None where none does. The model clears it
        #: when a batch has gone.
        self.assembly_since: float | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    @abstractmethod
    def size(self, model: BatchQueue, worker: FreeWorker, now: float) -> int:
        """Return how many requests the worker is sent at once, `batch_size` at most; 0 where it is to wait.

        It is asked only where `batch_size` is more than 1.
        """
