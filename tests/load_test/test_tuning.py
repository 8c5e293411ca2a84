"""The search for a model's numbers, on simulated models: how good it is, and what it costs."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from itertools import product

import pytest

from mms.load_test import RateSearch
from mms.load_test.tuning import Numbers, Probe, Space, TuningSearch

LIMIT_S = 0.05
#: What a trial costs: one that fails is ended early, and other numbers need other workers.
HELD, FAILED, CHANGE = 1.0, 0.6, 0.5


@dataclass
class Simulated:
    """A model on a machine, by the formulas of queues: a call takes `fixed_s`, and `item_s` for each item.

    `parallel`: the share of a call that more threads make shorter. `devices`: calls that run at once at most, as on a
    GPU. Measurements differ from the truth by up to `noise`.
    """

    fixed_s: float
    item_s: float
    parallel: float
    cpus: int
    devices: int
    noise: float = 0.03

    def __post_init__(self) -> None:
        self.random = random.Random(1)
        self.cost = 0.0
        self.last: Numbers | None = None

    def _call_s(self, n: Numbers, batch: float) -> float:
        plain_s = self.fixed_s + self.item_s * batch
        crowd = max(1.0, n.workers * n.threads / self.cpus)
        return plain_s * ((1 - self.parallel) + self.parallel / n.threads) * crowd

    def p99_s(self, n: Numbers, rate: float) -> float:
        servers = min(n.workers, self.devices)
        most_s = self._call_s(n, n.batch_size)
        use = rate * most_s / n.batch_size / servers
        if use >= 0.99:
            return math.inf
        batch = 1.0
        for _ in range(12):
            batch = rate * (n.delay_ms / 1000 + self._call_s(n, batch) / servers)
            batch = min(n.batch_size, max(1.0, batch))
        call_s = self._call_s(n, batch)
        # A batch fills, waits for the one before it, and for a queue where all batches are full.
        fill_s = min(n.delay_ms / 1000, (n.batch_size - 1) / rate)
        before_s = call_s * min(1.0, rate * call_s / batch / servers)
        queue_s = most_s * 4.6 * use ** math.sqrt(2 * (servers + 1)) / (2 * servers * (1 - use))
        return fill_s + call_s + before_s + queue_s

    def limit(self, n: Numbers) -> float:
        """Return the true highest rate."""
        low, high = 0.0, 1e5
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if self.p99_s(n, middle) <= LIMIT_S else (low, middle)
        return low

    def measure(self, probe: Probe) -> float:
        n = probe.numbers
        self.cost += CHANGE * (n != self.last)
        self.last = n
        if probe.rate is None:
            self.cost += HELD
            return min(n.workers, self.devices) * n.batch_size / self._call_s(n, n.batch_size)
        p99_s = self.p99_s(n, probe.rate) * self.random.uniform(1 - self.noise, 1 + self.noise)
        self.cost += HELD if p99_s <= LIMIT_S else FAILED
        return float(p99_s <= LIMIT_S)


def _search(model: Simulated, space: Space, current: Numbers | None = None) -> TuningSearch:
    search = TuningSearch(space, current)
    probes = search.probes()
    try:
        probe = next(probes)
        while True:
            probe = probes.send(model.measure(probe))
    except StopIteration:
        return search


def _exhaustive(model: Simulated, space: Space) -> float:
    """Search the highest rate of all numbers, and return the best of the true ones; the model counts the cost."""
    for numbers in space.all():
        capacity = model.measure(Probe(numbers, None))
        rates = RateSearch(max(capacity * 0.85, 1.0), growth=1.2, precision=0.05, lowest=1.0)
        while (rate := rates.next_rate()) is not None:
            rates.observe(rate, bool(model.measure(Probe(numbers, rate))))
    return max(map(model.limit, space.all()))


MODELS = {
    "each item costs": Simulated(0.0002, 0.004, 0.0, cpus=8, devices=8),
    "a call costs": Simulated(0.008, 0.0002, 0.0, cpus=8, devices=1),
    "threads help": Simulated(0.012, 0.001, 0.95, cpus=8, devices=8),
    "too slow alone": Simulated(0.075, 0.001, 0.98, cpus=8, devices=8),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_search_is_within_a_tenth_of_an_exhaustive_one_in_a_quarter_of_its_time(
    name: str, is_full: bool
) -> None:
    model = MODELS[name]
    # Of the smallest space all numbers are 30, where a search has the least to save.
    spaces = [Space.of(4, 4, 4, 2, 5)] + [
        Space.of(cpus, cpus, cpus, 16, LIMIT_S * 1000 / 2)
        for cpus in ([2, 4, 8] if is_full else [2, 4])
    ]
    assert len(list(spaces[0].all())) == 30
    for space, seed in product(spaces, range(8 if is_full else 2)):
        model.cpus = space.cpus
        model.random.seed(seed)
        model.cost = 0.0
        best = _exhaustive(model, space)
        exhaustive, model.cost = model.cost, 0.0
        search = _search(model, space, Numbers(1, 1, 8, 100))
        assert model.limit(search.best) >= 0.9 * best
        assert search.best_rate == pytest.approx(model.limit(search.best), rel=0.15)
        assert model.cost < exhaustive / 4


def test_numbers_that_bring_little_are_left_as_small_as_they_are() -> None:
    model = MODELS["a call costs"]
    search = _search(model, Space.of(8, 8, 8, 16, 20), Numbers(4, 2, 16, 5))
    assert (search.best.workers, search.best.threads, search.best.batch_size) == (1, 1, 16)
    reasons = search.reasons()
    assert any("where" not in text and "more" in text for text in reasons)
    assert any(text.endswith("does as well with less") for text in reasons)


def test_a_goal_that_no_numbers_hold_ends_the_search_and_says_so() -> None:
    hopeless = Simulated(1.0, 0.1, 0.0, cpus=2, devices=2)
    search = _search(hopeless, Space.of(2, 2, 2, 4, 20))
    assert search.best_rate == 0
    assert search.reasons() == ["No numbers held the goal at any rate that was tried."]


def test_whoever_stops_has_the_best_so_far() -> None:
    model = MODELS["a call costs"]
    search = TuningSearch(Space.of(2, 2, 1, 16, 20))
    probes = search.probes()
    reply, best = model.measure(next(probes)), 0.0
    with pytest.raises(StopIteration):
        while True:
            probe = probes.send(reply)
            assert search.best_rate >= best * 0.97
            assert search.best_rate <= model.limit(search.best) * 1.1
            best = search.best_rate
            reply = model.measure(probe)


def test_a_space_has_doublings_up_to_the_most_and_no_more_threads_than_cpus() -> None:
    space = Space.of(4, 6, 4, 5, 12)
    assert space.workers == [1, 2, 4, 6]
    assert space.batch_size == [1, 2, 4, 5]
    assert space.delay_ms == [0, 1, 2, 5, 10]
    every = list(space.all())
    assert Numbers(6, 1, 1, 0) in every
    assert all(n.threads == 1 or n.workers * n.threads <= 4 for n in every)
    assert all(n.delay_ms == 0 for n in every if n.batch_size == 1)
    assert len(set(every)) == len(every)
