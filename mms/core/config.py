"""What a registration fixed for a model version, and how it shows."""

from __future__ import annotations

from dataclasses import dataclass

from mms.core.sequences.rules import SequenceRules

#: What may wait for one model where nobody has said how many requests may: so many, whose bodies hold so many bytes.
#: A crowd of 1,000 connections then waits in turn, rather than being refused and coming back.
QUEUE_CAPACITY = 1000
QUEUE_BYTES = 256 * 1024 * 1024
#: Streams of one worker at once, where nobody has said how many: each makes the others slower.
MAX_STREAMS = 256


@dataclass(slots=True)
class ModelConfig:
    """What a registration fixed for a model version."""

    batch_size: int = 1
    max_batch_delay_s: float = 0.1
    #: A name of the table of policies; None: adaptive, unless the model's code turns out to need full batches
    batch_policy: str | None = None
    #: For a load and for one batch.
    response_timeout_s: float = 7200.0
    queue_capacity: int = QUEUE_CAPACITY
    #: Bodies of queued requests in all; 0: no limit.
    queue_bytes: int = 0
    #: A request whose worker ended is run once more.
    has_retry: bool = True
    #: For a request, in the queue and in a worker; 0: none but its own.
    request_timeout_s: float = 0.0
    #: A request that would wait longer is refused; 0: none is.
    max_queue_s: float = 0.0
    #: Streams that a worker may have open and get more requests.
    max_streams: int = MAX_STREAMS
    #: A request is taken only where a worker can have it at once. `queue_capacity` is 0 then.
    has_tickets: bool = False
    #: Requests belong to sequences; None: each is by itself.
    sequences: SequenceRules | None = None

    @property
    def running_places(self) -> int:
        """Requests that a running batch has at most: those of sequences leave room for more of the same ones."""
        return self.batch_size if self.sequences is None else 2 * self.batch_size


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
