"""The highest rate at which a goal holds, by as few measurements as that takes."""

from __future__ import annotations

import math
from collections import Counter

#: The factor between two rates does not grow beyond it.
_MOST_GROWTH = 4.0


class RateSearch:
    """Proposes rates and is told whether the goal held. It measures nothing itself.

    First the rate grows, or falls, by a factor, which grows too, until the limit lies between one that held and one
    that did not; then what is between is halved, until the two are close.
    """

    def __init__(
        self,
        start: float,
        *,
        precision: float = 0.05,
        growth: float = 2.0,
        tries: int = 1,
        most_trials: int = 100,
        lowest: float = 1e-3,
        highest: float = 1e6,
    ) -> None:
        """`start`: the first rate, in requests a second.

        `precision`: by how large a share the answer may be too low. `tries`: so often a rate has to fail to count as
        one that does, as others on the machine make rates fail. `lowest`, `highest`: where the search gives up, and
        `most_trials`: when; what has held by then is its answer.
        """
        if not lowest <= start <= highest:
            raise ValueError(f"The first rate is between {lowest:g} and {highest:g}, not {start:g}")
        if precision <= 0 or growth <= 1 or tries < 1:
            raise ValueError(
                "The precision is more than 0, the growth more than 1, tries at least 1"
            )
        self._start = start
        self._precision = precision
        self._growth = growth
        self._tries = tries
        self._most_trials = most_trials
        self._lowest = lowest
        self._highest = highest
        self._failures: Counter[float] = Counter()
        self._failed: set[float] = set()
        #: (rate, whether the goal held), in the order in which they were measured.
        self.trials: list[tuple[float, bool]] = []
        #: The highest rate that held; 0: none did.
        self.best = 0.0

    def __repr__(self) -> str:
        return f"<RateSearch {self.best:g} held, {self.failed:g} failed, {len(self.trials)} trials>"

    def next_rate(self) -> float | None:
        """Return the rate to measure next; None: the search is over, and `best` is its answer."""
        if len(self.trials) >= self._most_trials:
            return None
        if not self.best and math.isinf(self.failed):
            return self._again() or self._start
        if again := self._again():
            return again
        if math.isinf(self.failed):
            higher = min(self.best * self._factor(), self._highest)
            return higher if higher > self.best else None
        if not self.best:
            lower = max(self.failed / self._factor(), self._lowest)
            return lower if lower < self.failed else None
        if self.failed <= self.best * (1 + self._precision):
            return None
        return math.sqrt(self.best * self.failed)

    def observe(self, rate: float, held: bool) -> None:
        """Note what a measurement came to; rates that the search did not propose help, too."""
        self.trials.append((rate, held))
        if held:
            self.best = max(self.best, rate)
        else:
            self._failures[rate] += 1
            if self._failures[rate] >= self._tries:
                self._failed.add(rate)

    @property
    def failed(self) -> float:
        """The lowest rate above the best one that failed; infinite: none has. What failed below was bad luck."""
        return min((rate for rate in self._failed if rate > self.best), default=math.inf)

    def _factor(self) -> float:
        """Return by how much the next rate differs: after each step that did not reach the limit by more."""
        steps = {rate for rate, held in self.trials if held == bool(self.best)}
        doublings = min(max(len(steps) - 1, 0), 6)
        return min(math.pow(self._growth, 1 << doublings), max(self._growth, _MOST_GROWTH))

    def _again(self) -> float | None:
        """Return a rate that has failed, and not often enough."""
        if not self.trials:
            return None
        rate, held = self.trials[-1]
        is_open = not held and self.best < rate < self.failed
        return rate if is_open and self._failures[rate] < self._tries else None
