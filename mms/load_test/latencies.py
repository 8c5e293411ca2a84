"""Latencies, counted in buckets of equal relative width."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

#: A bucket's bounds are this factor apart, so that what is read is within half a per cent of what was recorded.
_WIDTH = 1.01
_LOG_WIDTH = math.log(_WIDTH)
#: What is shorter counts as this long, in seconds.
_SHORTEST_S = 1e-6
#: What is longer counts as this long, in seconds, so that there are no more than some 2,300 buckets.
_LONGEST_S = 1e4
#: The number of the last bucket, with one to spare.
_MOST_BUCKETS = int(math.log(_LONGEST_S / _SHORTEST_S) / _LOG_WIDTH) + 1
#: More than any load has requests.
_MOST_COUNT = 10**15


class LatencyHistogram:
    """Counts of latencies in seconds. It grows with how different they are, not with how many."""

    __slots__ = ("_counts", "_total_s", "count", "max_s", "min_s")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._total_s = 0.0
        self.count = 0
        self.min_s = math.inf
        self.max_s = 0.0

    def __repr__(self) -> str:
        if not self.count:
            return "<LatencyHistogram of nothing>"
        p50, p99 = (self.percentile(share) * 1000 for share in (0.5, 0.99))
        return f"<LatencyHistogram of {self.count:,}, p50 {p50:.2f} ms, p99 {p99:.2f} ms>"

    def record(self, latency_s: float) -> None:
        latency_s = min(max(latency_s, _SHORTEST_S), _LONGEST_S)
        bucket = _bucket_of(latency_s)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self.count += 1
        self._total_s += latency_s
        if latency_s > self.max_s:
            self.max_s = latency_s
        if latency_s < self.min_s:
            self.min_s = latency_s

    def add(self, other: LatencyHistogram) -> None:
        """Count what the other one has counted, too."""
        for bucket, count in other._counts.items():
            self._counts[bucket] = self._counts.get(bucket, 0) + count
        self.count += other.count
        self._total_s += other._total_s
        self.max_s = max(self.max_s, other.max_s)
        self.min_s = min(self.min_s, other.min_s)

    def corrected(self, interval_s: float) -> LatencyHistogram:
        """Return the same with the requests that a waiting client did not send (coordinated omission).

        A client that would have asked each `interval_s` seconds has left out one request for each of them that an
        answer took; they would have waited for what was left of it. It is the rule of HdrHistogram. NaN and 0 change
        nothing.
        """
        made = LatencyHistogram()
        made.add(self)
        if not interval_s > 0:
            return made
        first = _bucket_of(min(max(interval_s, _SHORTEST_S), _LONGEST_S))
        for bucket, count in self._counts.items():
            latency_s = min(_middle_s(bucket), self.max_s)
            last = int(latency_s / interval_s) - 1
            if last < 1:
                continue
            # By bucket, as there may be millions of them: how many of L - kT lie within its bounds.
            for other in range(first, bucket + 1):
                lower_s, upper_s = _lower_s(other), _lower_s(other + 1)
                if other == first:
                    lower_s = 0.0
                missing = min(last, math.floor((latency_s - lower_s) / interval_s)) - max(
                    0, math.floor((latency_s - upper_s) / interval_s)
                )
                if missing > 0:
                    made._counts[other] = made._counts.get(other, 0) + count * missing
                    made.count += count * missing
                    made._total_s += count * missing * _middle_s(other)
        return made

    @property
    def mean_s(self) -> float:
        return self._total_s / self.count if self.count else math.nan

    def percentile(self, share: float) -> float:
        """Return the latency in seconds that this share (0 to 1) of all does not exceed; NaN where there are none."""
        if not 0 <= share <= 1:
            raise ValueError(f"A share is between 0 and 1, not {share:g}")
        if not self.count:
            return math.nan
        rank = max(1, math.ceil(share * self.count - 1e-9))
        if rank >= self.count:
            return self.max_s
        seen = 0
        for bucket, count in sorted(self._counts.items()):
            seen += count
            if seen >= rank:
                return min(max(_middle_s(bucket), self.min_s), self.max_s)
        return self.max_s

    def within(self, limit_s: float) -> int:
        """Return how many latencies are `limit_s` or less."""
        return sum(count for bucket, count in self._counts.items() if _middle_s(bucket) <= limit_s)

    def buckets(self) -> list[tuple[float, int]]:
        """Return (middle of a bucket in seconds, how many latencies are in it), the shortest first."""
        return [(_middle_s(bucket), count) for bucket, count in sorted(self._counts.items())]

    def as_dict(self) -> dict[str, object]:
        """Return what `from_dict` reads, for JSON."""
        return {
            "total_s": self._total_s,
            "min_s": self.min_s if self.count else 0.0,
            "max_s": self.max_s,
            "counts": {str(bucket): count for bucket, count in sorted(self._counts.items())},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> LatencyHistogram:
        """Return what `as_dict` had of it. Raises ValueError for anything else."""
        made = cls()
        try:
            counts = values["counts"]
            made._counts = {int(bucket): int(count) for bucket, count in counts.items()}  # type: ignore[attr-defined]
            made._total_s, made.max_s = float(values["total_s"]), float(values["max_s"])  # type: ignore[arg-type]
            made.count = sum(made._counts.values())
            if any(not 0 <= bucket <= _MOST_BUCKETS for bucket in made._counts):
                raise ValueError("a bucket that there is none of")
            if min(made._counts.values(), default=0) < 0 or made.count > _MOST_COUNT:
                raise ValueError("counts that nobody has counted")
            made.min_s = float(values["min_s"]) if made.count else math.inf  # type: ignore[arg-type]
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"not a histogram of latencies: {error!r}") from None
        return made

    @classmethod
    def of(cls, latencies_s: Iterable[float]) -> LatencyHistogram:
        made = cls()
        for latency_s in latencies_s:
            made.record(latency_s)
        return made


def _bucket_of(latency_s: float) -> int:
    return int(math.log(latency_s / _SHORTEST_S) / _LOG_WIDTH)


def _lower_s(bucket: int) -> float:
    return float(_SHORTEST_S * _WIDTH**bucket)


def _middle_s(bucket: int) -> float:
    return float(_SHORTEST_S * _WIDTH ** (bucket + 0.5))
