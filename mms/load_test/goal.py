"""What latencies are to keep to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LatencyGoal:
    """A share of all requests is to be answered rightly within a time."""

    limit_s: float
    #: Between 0 and 1; 0.99 is a p99.
    share: float = 0.99

    def __post_init__(self) -> None:
        if not self.limit_s > 0:
            raise ValueError(f"The limit of a latency is more than 0 seconds, not {self.limit_s:g}")
        if not 0 < self.share < 1:
            raise ValueError(f"The share of requests is between 0 and 1, not {self.share:g}")

    def __str__(self) -> str:
        return f"p{self.share * 100:g} within {self.limit_s * 1000:g} ms"
