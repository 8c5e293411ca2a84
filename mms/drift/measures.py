"""Distances between two distributions over the same bins."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

#: Stands for an empty bin in the Kullback-Leibler divergence, which has no value there.
EMPTY_BIN = 1e-4

Shares = npt.NDArray[np.float64]


def shares(counts: Any) -> Shares:
    """Return counts as parts of 1; all 0 where there are none. Raises ValueError for what are no counts."""
    found = np.asarray(counts, dtype=np.float64)
    if found.ndim != 1 or not np.isfinite(found).all() or (found < 0).any():
        raise ValueError("counts must be a list of numbers, 0 or more")
    total = found.sum()
    return found / total if total > 0 else found


def total_variation(now: Shares, then: Shares) -> float:
    """Return half the sum of absolute differences: 0 for the same distribution, 1 for two that share nothing."""
    return float(np.abs(now - then).sum() / 2)


def hellinger(now: Shares, then: Shares) -> float:
    """Return root of 1 minus the overlap of the roots: 0 for the same distribution, 1 for two that share nothing."""
    return float(np.sqrt(max(0.0, 1.0 - np.sqrt(now * then).sum())))


def kullback_leibler(now: Shares, then: Shares) -> float:
    """Return the divergence of each from the other, added up: 0 for the same distribution, without an upper limit."""
    first = np.where(now == 0, EMPTY_BIN, now)
    second = np.where(then == 0, EMPTY_BIN, then)
    return float(((first - second) * np.log(first / second)).sum())
