"""What latencies are to keep to."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mms.text.brief import brief

_GOAL = re.compile(r"p(\d+(?:\.\d+)?)\s*(?:=|<=?)\s*(\d+(?:\.\d*)?|\.\d+)\s*(us|ms|s)", re.ASCII)
#: Nobody waits longer for a load that is lost.
_LONGEST_S = 3600.0
_UNITS_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


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

    @classmethod
    def parse(cls, text: str) -> LatencyGoal:
        """Read a goal such as `p99=50ms` or `p99.9=1.5s`. Raises ValueError for what is none."""
        found = _GOAL.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"{brief(text)} is no goal; one is p99=50ms, or p95=1.5s")
        percent, limit = float(found[1]), float(found[2]) * _UNITS_S[found[3]]
        if not 0 < percent < 100:
            raise ValueError(f"The percentile is between 0 and 100, not {percent:g}")
        if limit > _LONGEST_S:
            raise ValueError(f"The limit of a latency is at most {_LONGEST_S:g} s, not {limit:g}")
        return cls(limit, percent / 100)

    def __str__(self) -> str:
        return f"p{self.share * 100:g} within {self.limit_s * 1000:g} ms"
