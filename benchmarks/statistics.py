"""From the rounds of a cell to one line of a table."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """The rounds of one figure: their median, and how far apart they lie."""

    median: float
    lowest: float
    highest: float
    rounds: int

    @property
    def spread(self) -> float:
        """From the lowest to the highest round, as a share of the median."""
        return (self.highest - self.lowest) / self.median if self.median else 0.0


def summarise(values: Sequence[float]) -> Summary:
    if not values:
        raise ValueError("no rounds to summarise")
    return Summary(statistics.median(values), min(values), max(values), len(values))


def ratio(ours: Summary, theirs: Summary) -> float:
    """Return the ratio of the medians: above one where ours is larger. A median of zero gives infinity."""
    if theirs.median == 0:
        return float("inf")
    return ours.median / theirs.median
