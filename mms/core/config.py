"""What a registration fixed for a model version, and how it shows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class ModelConfig:
    """What a registration fixed for a model version."""

    batch_size: int = 1
    max_batch_delay_s: float = 0.1
    #: A name of the table of policies; None: adaptive, unless the model's code turns out to need full batches
    batch_policy: str | None = None
    #: For a load and for one batch.
    response_timeout_s: float = 7200.0
    queue_capacity: int = 100
    #: A request whose worker ended is run once more.
    has_retry: bool = True
    #: For a request, in the queue and in a worker; 0: none but its own.
    request_timeout_s: float = 0.0
    #: A request that would wait longer is refused; 0: none is.
    max_queue_s: float = 0.0


@dataclass(slots=True)
class ModelStatistics:
    """A moment of a model version, for metrics, describe and people."""

    queue_length: int
    queue_capacity: int
    in_flight: int
    worker_states: dict[str, int]
    batch_policy: str
    #: A word: why it is this policy.
    policy_cause: str
