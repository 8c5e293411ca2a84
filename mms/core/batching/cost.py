"""What a batch costs: a moving fit of latency = fixed + per_item x size, and the gap between arrivals."""

from __future__ import annotations

#: Weight that is left of an observation after each further one: the fit follows changes within some fifty batches.
_DECAY = 0.96
#: Weight of a new gap in the moving mean of arrivals.
_GAP_WEIGHT = 0.1
#: A longer pause says no more about the arrivals to come, in seconds.
_MAX_GAP_S = 1.0
#: Fixed costs below this are not worth a timer: its own granularity and wake-up cost as much.
_MIN_FIXED_S = 0.002
#: The fit says nothing before it has seen this many batches.
_MIN_WEIGHT = 5.0


class BatchCost:
    """Least squares with exponential forgetting. Times in seconds, sizes in items."""

    __slots__ = ("_sx", "_sxx", "_sxy", "_sy", "_weight")

    def __init__(self) -> None:
        self._weight = self._sx = self._sy = self._sxx = self._sxy = 0.0

    def __repr__(self) -> str:
        fixed_s, per_item_s = self.fit()
        return f"<BatchCost {fixed_s * 1e3:.3f} ms + {per_item_s * 1e3:.3f} ms x size>"

    def observe(self, size: int, duration_s: float) -> None:
        self._weight = self._weight * _DECAY + 1.0
        self._sx = self._sx * _DECAY + size
        self._sy = self._sy * _DECAY + duration_s
        self._sxx = self._sxx * _DECAY + size * size
        self._sxy = self._sxy * _DECAY + size * duration_s

    def fit(self) -> tuple[float, float]:
        """Return (fixed, per item) in seconds, neither negative. All counts as per item until sizes have differed."""
        weight = self._weight
        if weight < _MIN_WEIGHT:
            return 0.0, 0.0
        mean_x = self._sx / weight
        mean_y = self._sy / weight
        variance = self._sxx / weight - mean_x * mean_x
        if variance < 0.01:
            return 0.0, mean_y / mean_x
        slope = (self._sxy / weight - mean_x * mean_y) / variance
        slope = min(max(slope, 0.0), mean_y / mean_x)
        return mean_y - slope * mean_x, slope


class ArrivalGap:
    """A moving mean of the seconds between arrivals."""

    __slots__ = ("_last", "mean_s", "total")

    def __init__(self) -> None:
        self._last = 0.0
        self.mean_s = float("inf")
        #: Arrivals so far.
        self.total = 0

    def observe(self, count: int, now: float) -> None:
        """Note that `count` requests came since the last call."""
        if count < 1:
            return
        self.total += count
        gap_s = min((now - self._last) / count, _MAX_GAP_S)
        self._last = now
        if self.mean_s > _MAX_GAP_S:
            self.mean_s = gap_s
        self.mean_s += (gap_s - self.mean_s) * _GAP_WEIGHT

    @property
    def last_at(self) -> float:
        """When the last one came, of `time.monotonic()`; 0: none has."""
        return self._last


def is_waiting_worthwhile(size: int, cost: BatchCost, gap_s: float) -> bool:
    """Return whether the last idle worker should wait for one more request before it starts on `size` of them.

    Waiting makes `size` requests later by the gap and by one item's cost. It saves the next request the fixed cost,
    less the gap: otherwise it would have to wait for this batch and then pay for one of its own.
    """
    fixed_s, per_item_s = cost.fit()
    if fixed_s < _MIN_FIXED_S:
        return False
    return fixed_s - gap_s > size * (gap_s + per_item_s)
