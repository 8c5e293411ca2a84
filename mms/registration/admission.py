"""The parameters of a registration that say which requests a model takes, and which of them belong together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from mms.registration.kind import TRUTH, count_of, whole
from mms.registration.model import ModelParameters
from mms.registration.parameter import REGISTER, SCALE, WORKERS, Key, Shown, parameter

_BOTH: Final = (REGISTER, SCALE)


@dataclass(frozen=True, slots=True)
class AdmissionParameters(ModelParameters):
    """How a model of any interface is registered: what it takes besides."""

    title: ClassVar[str] = ModelParameters.title

    job_tickets: bool | None = parameter(
        "job_tickets",
        TRUTH,
        "Whether a request is taken only where a worker can have it at once; others get 503.",
        "See [job tickets](batching.md#job-tickets).",
        default="false",
        routes=_BOTH,
        keys=(Key("useJobTicket"), Key("jobTickets")),
        is_new=True,
        shown=Shown("useJobTicket", unless=False),
        scope=WORKERS,
    )
    sequence_batching: bool | None = parameter(
        "sequence_batching",
        TRUTH,
        "Whether requests belong to sequences, each of which stays with one worker.",
        "See [sequences](batching.md#sequences).",
        default="false",
        keys=(Key("sequenceBatching"),),
        is_new=True,
        shown=Shown("sequenceBatching", unless=False),
        scope=WORKERS,
    )
    sequence_max_idle_ms: int | None = parameter(
        "sequence_max_idle_ms",
        whole(None, count_of),
        "With `sequence_batching`: a sequence without a request for so long is over. 0: none is.",
        default="60000",
        unit="milliseconds",
        routes=_BOTH,
        keys=(Key("sequenceMaxIdleMSec", "milliseconds"),),
        is_new=True,
        scope=WORKERS,
    )
    sequence_timeout_ms: int | None = parameter(
        "sequence_timeout_ms",
        whole(None, count_of),
        "With `sequence_batching`: how long a sequence lasts from its first request on. 0: no limit.",
        default="0",
        unit="milliseconds",
        routes=_BOTH,
        keys=(Key("sequenceTimeoutMSec", "milliseconds"),),
        is_new=True,
        scope=WORKERS,
    )
    max_sequences: int | None = parameter(
        "max_sequences",
        whole(1, in_file=0),
        "With `sequence_batching`: sequences at once; the first request of one more gets 503.",
        otherwise="`batch_size` for each worker",
        routes=_BOTH,
        keys=(Key("maxNumSequence"),),
        is_new=True,
        scope=WORKERS,
    )
    max_sequence_queue_size: int | None = parameter(
        "max_sequence_queue_size",
        whole(1, in_file=0),
        "With `sequence_batching`: requests of one sequence that may wait behind the one that runs.",
        default="1",
        routes=_BOTH,
        keys=(Key("maxSequenceJobQueueSize"),),
        is_new=True,
        scope=WORKERS,
    )
