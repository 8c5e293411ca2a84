"""How many sequences a model takes, how long each lasts, and how requests name theirs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SequenceHeaders:
    """The names of the headers: of a request's sequence, and of what begins and ends one."""

    id: str = "ts_request_sequence_id"
    start: str = "ts_request_sequence_start"
    end: str = "ts_request_sequence_end"


@dataclass(frozen=True, slots=True)
class SequenceRules:
    """What a registration says of sequences. Times in seconds."""

    #: A sequence without a request for so long is over; 0: it stays until it is ended.
    max_idle_s: float = 60.0
    #: From its first request on; 0: no limit.
    timeout_s: float = 0.0
    #: Sequences at once; 0: as many as the workers have places in a batch.
    most: int = 0
    #: Requests of one sequence that may wait behind the one that runs.
    most_waiting: int = 1
    headers: SequenceHeaders = SequenceHeaders()
