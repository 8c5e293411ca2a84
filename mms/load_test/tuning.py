"""Which numbers let a model answer the most requests in time: workers, threads, batch size, delay.

A search proposes loads and is told what came of them; it measures nothing itself. It begins with the least of
everything, changes one number at a time as long as that pays, and then trades workers for threads and a larger batch
for a longer delay. A change is first tried at the rate that would make it worth its cost: most of them fail that at
once, which saves nearly all of what an exhaustive search would measure. Measurements are taken for noisy.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from mms.load_test.rate_search import RateSearch

#: The members of Numbers in the order in which they are tried.
AXES: Final = ("workers", "batch_size", "threads", "delay_ms")
#: What more of a number has to bring to be taken, as a share of the rate.
GAIN: Final = 0.05
_GROWTH: Final = 1.2
#: While it compares the search knows rates to this share; the last one to the finer.
_COARSE: Final = 0.12
_FINE: Final = 0.05
#: What brought nothing is tried again only while a search has taken less than this share of an exhaustive one's time.
#: That one needs, for each numbers, the loads that the first took, and a change in between that is as long as half of
#: one. The last loads of a search measure the best.
_SHARE: Final = 0.25
_CHANGE: Final = 0.5
_LAST_LOADS: Final = 6
_LEAST_LOADS: Final = 15
#: Of what a closed loop shows so much is taken to hold at first, and so much at least later.
_FIRST_SHARE: Final = 0.85
_LEAST_SHARE: Final = 0.1
#: Smaller numbers are as good where they hold this share of the rate.
_AS_WELL: Final = 0.97
#: In one direction so many values in a row that do not pay are enough.
_FRUITLESS: Final = 2


@dataclass(frozen=True, slots=True, order=True)
class Numbers:
    """How a model runs. `threads` are those of numeric libraries in each worker."""

    workers: int = 1
    threads: int = 1
    batch_size: int = 1
    delay_ms: int = 0

    def __str__(self) -> str:
        words = [f"{self.workers} worker{'s' * (self.workers != 1)}"]
        if self.threads != 1:
            words.append(f"{self.threads} threads each")
        words.append(f"batch size {self.batch_size}")
        if self.batch_size > 1:
            words.append(f"delay {self.delay_ms} ms")
        return ", ".join(words)


@dataclass(frozen=True, slots=True)
class Space:
    """What may be tried: values of each number, the smallest first. Workers with more threads than CPUs are not."""

    workers: Sequence[int]
    threads: Sequence[int]
    batch_size: Sequence[int]
    delay_ms: Sequence[int]
    cpus: int

    @classmethod
    def of(
        cls, cpus: int, max_workers: int, max_threads: int, max_batch: int, max_delay_ms: float
    ) -> Space:
        """Doublings up to each of the most, which are among them."""
        delays = [delay for delay in (0, 1, 2, 5, 10, 20, 50, 100) if delay <= max_delay_ms]
        return cls(
            _doublings(max_workers), _doublings(max_threads), _doublings(max_batch), delays, cpus
        )

    def admits(self, numbers: Numbers) -> bool:
        return numbers.threads == 1 or numbers.workers * numbers.threads <= self.cpus

    def all(self) -> Iterator[Numbers]:
        """Yield all that an exhaustive search would measure."""
        for workers in self.workers:
            for threads in self.threads:
                for batch in self.batch_size:
                    for delay in self.delay_ms if batch > 1 else self.delay_ms[:1]:
                        numbers = Numbers(workers, threads, batch, delay)
                        if self.admits(numbers):
                            yield numbers

    @property
    def smallest(self) -> Numbers:
        return Numbers(self.workers[0], self.threads[0], self.batch_size[0], self.delay_ms[0])


@dataclass(frozen=True, slots=True)
class Probe:
    """A load to be run: so many requests a second. `rate` None: a closed loop, whose answers a second are the reply."""

    numbers: Numbers
    rate: float | None


@dataclass(frozen=True, slots=True)
class TuningStep:
    """What trying some numbers came to. `axis`: what was changed, or `first`, `current`, `exchange`, `less`."""

    axis: str
    before: Numbers
    numbers: Numbers
    #: The rate that would have paid.
    wanted: float
    #: The highest one that held; 0: not even that.
    rate: float
    #: Otherwise higher rates were not tried.
    is_taken: bool


class TuningSearch:
    """Finds the numbers with the highest rate, and of those that do as well about the smallest."""

    def __init__(
        self, space: Space, current: Numbers | None = None, *, lowest: float = 1.0
    ) -> None:
        """`current`: what the model has now, which is tried, too. `lowest`: the lowest rate that is worth a trial."""
        self._space = space
        self._current = current
        self._lowest = lowest
        self._failed: dict[Numbers, float] = {}
        self._failures: Counter[Numbers] = Counter()
        self._held: dict[Numbers, float] = {}
        self._most_probes = math.inf
        #: What was held of what clients that wait get, of the numbers that were measured last.
        self._share = _FIRST_SHARE
        self.best = space.smallest
        self.steps: list[TuningStep] = []
        self.probes_count = 0

    def __repr__(self) -> str:
        return f"<TuningSearch {self.best}: {self.best_rate:g}/s after {self.probes_count} loads>"

    @property
    def best_rate(self) -> float:
        """Requests a second that the best numbers hold; 0: none that was tried."""
        return self._held.get(self.best, 0.0)

    def probes(self) -> Generator[Probe, float, None]:
        """Yield loads. Each is sent what came of it: 1 held, 0 did not; of a closed loop the answers a second."""
        yield from self._measure_first()
        current = self._current
        if current is not None and current.batch_size == 1:
            current = replace(current, delay_ms=self._space.delay_ms[0])
        if current is not None and self._space.admits(current):
            yield from self._try(current, "current")
        is_second = False
        while True:
            before = self.best
            for axis in AXES:
                yield from self._scan(axis)
            for candidate in self._exchanges():
                yield from self._try(candidate, "exchange")
            if self.best == before and (is_second or self._is_spent()):
                break
            # Others on the machine make loads fail: the nearest values have to fail twice.
            is_second = self.best == before
        if self.best_rate:
            yield from self._spare(self.best_rate * _AS_WELL)
            yield from self._climb(self.best, self.best_rate, _FINE, tries=2)

    def _measure_first(self) -> Generator[Probe, float, None]:
        yield from self._leap(self.best)
        exhaustive = sum(1 for _ in self._space.all()) * (self.probes_count + _CHANGE)
        self._most_probes = max(exhaustive * _SHARE - _LAST_LOADS, _LEAST_LOADS)
        self.steps.append(
            TuningStep("first", self.best, self.best, self._lowest, self.best_rate, is_taken=True)
        )

    def _leap(self, numbers: Numbers) -> Generator[Probe, float, None]:
        """Find the highest rate of numbers of which little is known, from what they answer to clients that wait."""
        capacity = yield from self._ask(Probe(numbers, None))
        yield from self._climb(numbers, max(capacity * self._share, self._lowest), _COARSE)
        if capacity and numbers in self._held:
            self._share = min(max(self._held[numbers] / capacity, _LEAST_SHARE), 1.0)

    def _rise(self) -> Generator[Probe, float, None]:
        """Find the highest rate of the best numbers, which may be near the one that they hold, or far above it."""
        if (yield from self._holds(self.best, self.best_rate * _GROWTH)):
            yield from self._leap(self.best)
        else:
            yield from self._climb(self.best, self.best_rate, _COARSE)

    def _scan(self, axis: str) -> Generator[Probe, float, None]:
        """Try the values of one number, upwards and then downwards, as long as it may pay.

        The last one that pays is taken and measured. It may be too far; what is better on the way is found downwards.
        """
        values: Sequence[int] = getattr(self._space, axis)
        for direction in (1, -1):
            begun = self.best
            wanted = max(self.best_rate * (1 + GAIN), self._lowest)
            ahead = [v for v in values[::direction] if (v - getattr(begun, axis)) * direction > 0]
            tried: list[Numbers] = []
            try:
                yield from self._advance(axis, ahead, wanted, tried, direction)
            finally:
                # Also of a search that is ended now.
                self.steps += [
                    TuningStep(axis, begun, n, wanted, self._held.get(n, 0.0), n == self.best)
                    for n in tried
                ]

    def _advance(
        self,
        axis: str,
        values: Sequence[int],
        wanted: float,
        tried: list[Numbers],
        direction: int,
    ) -> Generator[Probe, float, None]:
        """Take the last of these values that holds a rate. What was tried goes on the list.

        Less is tried as long as it pays. In a second pass the nearest larger value is tried again.
        """
        steps = fruitless = 0
        for value in values:
            if direction < 0 and fruitless:
                break
            # The largest one is tried in any case: a little more may bring nothing where much more does.
            if fruitless >= _FRUITLESS and (value != values[-1] or axis == "delay_ms"):
                continue
            candidate = self._with(axis, value)
            if candidate is None:
                continue
            if self._is_lost(candidate, wanted, 2 if value == values[0] and direction > 0 else 1):
                fruitless += 1
                continue
            is_held = yield from self._holds(candidate, wanted)
            tried.append(candidate)
            fruitless = 0 if is_held else fruitless + 1
            if is_held:
                steps += 1
                self.best = candidate
        if steps:
            yield from self._rise()

    def _with(self, axis: str, value: int) -> Numbers | None:
        changed = replace(self.best, **{axis: value})
        if changed.batch_size == 1:
            if axis == "delay_ms":
                return None
            changed = replace(changed, delay_ms=self._space.delay_ms[0])
        return changed if self._space.admits(changed) else None

    def _spare(self, enough: float) -> Generator[Probe, float, None]:
        """Take less of each number as long as that holds a rate which is about as high."""
        for axis in AXES:
            while (value := self._neighbour(axis, -1)) is not None and not self._is_spent():
                candidate = self._with(axis, value)
                if candidate is None or self._is_lost(candidate, enough):
                    break
                before = self.best
                is_taken = yield from self._holds(candidate, enough)
                self.steps.append(
                    TuningStep("less", before, candidate, enough, enough * is_taken, is_taken)
                )
                if not is_taken:
                    break
                self.best = candidate

    def _exchanges(self) -> Iterator[Numbers]:
        """Yield what differs in two numbers that stand for each other."""
        for one, other in (("workers", "threads"), ("batch_size", "delay_ms")):
            for first, second in ((1, -1), (-1, 1), (1, 1), (-1, -1)):
                a = self._neighbour(one, first)
                b = self._neighbour(other, second)
                if a is None or b is None:
                    continue
                changed = replace(self.best, **{one: a, other: b})
                is_double = changed.batch_size == 1 and changed.delay_ms != self._space.delay_ms[0]
                if self._space.admits(changed) and not is_double:
                    yield changed

    def _neighbour(self, axis: str, distance: int) -> int | None:
        values: Sequence[int] = getattr(self._space, axis)
        own = getattr(self.best, axis)
        ahead = (
            [v for v in values if v > own] if distance > 0 else [v for v in values if v < own][::-1]
        )
        return ahead[0] if ahead else None

    def _try(self, candidate: Numbers, axis: str) -> Generator[Probe, float, None]:
        """Take other numbers if they hold a rate that is higher by what makes them worth it."""
        wanted = max(self.best_rate * (1 + GAIN), self._lowest)
        if candidate == self.best or self._is_lost(candidate, wanted):
            return
        before = self.best
        rate = 0.0
        if (yield from self._holds(candidate, wanted)):
            # Whoever stops now has the better ones.
            self.best = candidate
            yield from self._rise()
            rate = self.best_rate
        self.steps.append(TuningStep(axis, before, candidate, wanted, rate, is_taken=rate > 0))

    def _climb(
        self, numbers: Numbers, start: float, precision: float, tries: int = 1
    ) -> Generator[Probe, float, None]:
        """Find the highest rate of some numbers; what is known of them already is not measured again.

        `start`: about where it is thought to be. Lower rates that have held tell no more then.
        """
        known = self._held.get(numbers, 0.0)
        search = RateSearch(
            min(max(start, known, self._lowest), 1e6),
            growth=_GROWTH,
            precision=precision,
            lowest=max(known, self._lowest),
            tries=tries,
        )
        if known * _GROWTH > start:
            search.observe(known, held=True)
        if numbers in self._failed:
            search.observe(self._failed[numbers], held=False)
        while (rate := search.next_rate()) is not None:
            search.observe(rate, bool((yield from self._holds(numbers, rate))))

    def _holds(self, numbers: Numbers, rate: float) -> Generator[Probe, float, bool]:
        held = bool((yield from self._ask(Probe(numbers, rate))))
        if held:
            self._held[numbers] = max(rate, self._held.get(numbers, 0.0))
            if self._failed.get(numbers, math.inf) <= rate:
                # That was bad luck.
                del self._failed[numbers]
        else:
            self._failed[numbers] = min(rate, self._failed.get(numbers, math.inf))
            self._failures[numbers] += 1
        return held

    def _is_lost(self, numbers: Numbers, rate: float, times: int = 1) -> bool:
        """Return whether some numbers are known not to hold a rate, having failed so often."""
        return self._failed.get(numbers, math.inf) <= rate and self._failures[numbers] >= times

    def _is_spent(self) -> bool:
        """Return whether the search has taken its time, and looks no longer for what is unlikely."""
        return self.probes_count >= self._most_probes

    def _ask(self, probe: Probe) -> Generator[Probe, float, float]:
        self.probes_count += 1
        return (yield probe)

    # Why

    def reasons(self) -> list[str]:
        """Return in sentences what each number brought."""
        if not self.best_rate:
            return ["No numbers held the goal at any rate that was tried."]
        found = [
            f"{step.before} -> {step.numbers}: {self._outcome(step)}"
            for step in self.steps
            if step.is_taken and step.axis != "first"
        ]
        for axis in AXES:
            tried = sorted(
                {
                    getattr(step.numbers, axis)
                    for step in self.steps
                    if step.axis == axis and not step.is_taken and step.before == self.best
                }
            )
            if tried:
                name = axis.removesuffix("_ms").replace("_", " ")
                values = ", ".join(map(str, tried))
                found.append(
                    f"{name}: {values} did not bring {GAIN:.0%} more than {getattr(self.best, axis)}."
                )
        return found

    def _outcome(self, step: TuningStep) -> str:
        if step.axis == "less":
            return "does as well with less"
        return _more(step.rate, self._rate_of(step.before))

    def _rate_of(self, numbers: Numbers) -> float:
        taken = [step.rate for step in self.steps if step.is_taken and step.numbers == numbers]
        return taken[-1] if taken else 0.0


def _more(rate: float, before: float) -> str:
    if not before:
        return f"{rate:.4g} requests/s, where there were none"
    return f"{rate:.4g} requests/s, {rate / before - 1:.0%} more"


def _doublings(most: int) -> list[int]:
    values = [1 << n for n in range(most.bit_length()) if 1 << n <= most]
    return values if values[-1] == most else [*values, most]
