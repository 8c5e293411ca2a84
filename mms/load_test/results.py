"""What came of a load."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from mms.load_test.goal import LatencyGoal
from mms.load_test.latencies import LatencyHistogram

#: Kinds of errors, besides statuses of 400 and more, which are named by themselves.
WRONG_ANSWER = "wrong answer"
NOT_CONNECTED = "no connection"
CONNECTION_LOST = "connection lost"
TIMED_OUT = "timed out"
NOT_HTTP = "not HTTP"


@dataclass(slots=True)
class Interval:
    """One of the pieces of equal length that a load is cut into; a request belongs to the one in which it was due."""

    latencies: LatencyHistogram = field(default_factory=LatencyHistogram)
    errors: int = 0


@dataclass(slots=True)
class LoadResult:
    """Counts of requests that were due after the warm-up."""

    #: How long requests were due, in seconds, and how long an interval of the timeline is.
    duration_s: float
    interval_s: float = 1.0
    #: Requests that were due.
    requests: int = 0
    #: Of right answers, from when their requests were due.
    latencies: LatencyHistogram = field(default_factory=LatencyHistogram)
    #: Of right answers, from when their requests were sent.
    service_times: LatencyHistogram = field(default_factory=LatencyHistogram)
    #: By how much the generator sent too late by its own fault: a connection was free. Large ones mean that the
    #: machine that generates the load has too little time for it.
    lateness: LatencyHistogram = field(default_factory=LatencyHistogram)
    errors: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    received_bytes: int = 0
    #: Right answers that came within that duration, also to requests of the warm-up.
    answered_in_time: int = 0
    most_connections: int = 0
    timeline: list[Interval] = field(default_factory=list)
    #: The load was ended early, as the goal could not be held any more.
    is_given_up: bool = False
    #: The load was ended early by whoever runs it; what came until then counts.
    is_stopped: bool = False

    def __repr__(self) -> str:
        return (
            f"<LoadResult {self.requests:,} requests in {self.duration_s:.2f} s, "
            f"{self.error_count:,} errors, {self.latencies!r}>"
        )

    @property
    def error_count(self) -> int:
        return self.errors.total()

    @property
    def answers_per_s(self) -> float:
        """The throughput while requests were due."""
        return self.answered_in_time / self.duration_s if self.duration_s else 0.0

    def percentile(self, share: float) -> float:
        """Return the latency in seconds that this share of all requests does not exceed; errors last for ever."""
        answered = self.latencies.count
        total = answered + self.error_count
        if not total:
            return float("nan")
        share_of_answers = share * total / answered if answered else 2.0
        return (
            self.latencies.percentile(share_of_answers) if share_of_answers <= 1 else float("inf")
        )

    def holds(self, goal: LatencyGoal) -> bool:
        """Return whether enough of all requests were answered rightly in time. False where there were none."""
        if self.is_given_up or not self.requests:
            return False
        total = max(self.requests, self.latencies.count + self.error_count)
        return self.latencies.within(goal.limit_s) >= goal.share * total
