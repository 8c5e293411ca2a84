"""What a batch costs: a moving fit of latency = fixed + per_item x size, and the gap between arrivals."""

from __future__ import annotations

from math import ceil, sqrt

from mms.core.batching.size_classes import SizeClasses

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
#: What a batch costs besides its call: the way to the worker and back, reading and writing.
_OVERHEAD_S = 0.0001
#: Sizes that vary less say nothing of what an item costs.
_MIN_VARIANCE = 0.01
#: A server that is busier is counted as this busy: nobody knows then how many requests are to come before it is idle.
_MOST_BUSY = 0.8
#: Batches are so much larger than is best for the mean: the last ones in a queue gain by each fixed cost that is saved.
_LAST_ONES = 1.4


class BatchCost:
    """Least squares with exponential forgetting. Times in seconds, sizes in items."""

    __slots__ = ("_classes", "_sx", "_sxx", "_sxy", "_sy", "_weight")

    def __init__(self) -> None:
        self._weight = self._sx = self._sy = self._sxx = self._sxy = 0.0
        self._classes = SizeClasses()

    def __repr__(self) -> str:
        fixed_s, per_item_s = self.fit()
        return f"<BatchCost {fixed_s * 1e3:.3f} ms + {per_item_s * 1e3:.3f} ms x size>"

    def observe(self, size: int, duration_s: float) -> None:
        self._weight = self._weight * _DECAY + 1.0
        self._sx = self._sx * _DECAY + size
        self._sy = self._sy * _DECAY + duration_s
        self._sxx = self._sxx * _DECAY + size * size
        self._sxy = self._sxy * _DECAY + size * duration_s
        if not self.is_quick:
            self._classes.observe(size, (duration_s + _OVERHEAD_S) / size)

    def fit(self) -> tuple[float, float]:
        """Return (fixed, per item) in seconds, neither negative. All counts as per item until sizes have differed."""
        weight = self._weight
        if weight < _MIN_WEIGHT:
            return 0.0, 0.0
        mean_x = self._sx / weight
        mean_y = self._sy / weight
        if not self.has_differed:
            return 0.0, mean_y / mean_x
        slope = min(max(self._slope_s(), 0.0), mean_y / mean_x)
        return mean_y - slope * mean_x, slope

    def _slope_s(self) -> float:
        """Return what a further item costs, where sizes have differed; noise can make it negative."""
        weight = self._weight
        mean_x = self._sx / weight
        variance = self._sxx / weight - mean_x * mean_x
        return (self._sxy / weight - mean_x * self._sy / weight) / variance

    @property
    def is_quick(self) -> bool:
        """Items cost less than the way of a batch, or too few have been seen: whatever waits should go together."""
        return self._weight < _MIN_WEIGHT or self._sy < _OVERHEAD_S * self._sx

    @property
    def has_differed(self) -> bool:
        """Batches were of several sizes lately, so that the fit tells fixed costs from those of items."""
        weight = self._weight
        if weight < _MIN_WEIGHT:
            return False
        mean_size = self._sx / weight
        return self._sxx / weight - mean_size * mean_size >= _MIN_VARIANCE

    def best_size(self, waiting: int, most: int, gap_s: float, workers: int) -> int:
        """Return how many of the waiting requests should go together, `most` at the most.

        `gap_s` is the mean time between arrivals, `workers` how many share the work.

        All that wait in batches of n cost `waiting / n` times the fixed cost, and a request waits for the n of its own
        batch: the mean wait is least for n = sqrt(waiting x fixed / per item). Those that come before the queue is
        empty wait for the fixed costs, too, and so count as waiting.
        """
        largest = waiting if waiting < most else most
        if not self.has_differed:
            # What an item costs shows by another size alone. The next larger ones are the cheapest to try.
            return min(largest, int(2 * self._sx / self._weight + 0.5))
        served_s = self._sy / self._sx
        mean_size = self._sx / self._weight
        slope_s = self._slope_s()
        if slope_s <= 0.0:
            return largest
        # Below zero where large batches are dear beyond their items, as of texts that are padded to the longest one.
        fixed_s = (served_s - slope_s) * mean_size + _OVERHEAD_S
        if fixed_s <= 0.0:
            return self._classes.no_dearer(largest)
        room_s = gap_s * workers
        busy = served_s / room_s if served_s < room_s * _MOST_BUSY else _MOST_BUSY
        behind = waiting / (1.0 - busy)
        best = _LAST_ONES * sqrt(behind * fixed_s / slope_s)
        if best >= largest:
            return self._classes.no_dearer(largest)
        # Of equal sizes, rather than a small one in the end.
        batches = ceil(waiting / max(best, 1.0))
        return self._classes.no_dearer(min(ceil(waiting / batches), largest))


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
