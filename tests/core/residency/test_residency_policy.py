"""Which models stay in a limited memory: decisions, and simulated traffic."""

from __future__ import annotations

import random
from collections import OrderedDict
from itertools import accumulate
from typing import Any

import pytest

from mms.core.residency.footprint import Footprint, TypicalSizes, UseRate
from mms.core.residency.policy import FOR_GROWTH, FOR_LOAD, FOR_TURN, ResidencyPolicy, Resident

MB = 10**6


def resident(name: str, size_mb: float = 30, **changes: Any) -> Resident:
    """A model that was loaded long ago and is idle."""
    values: dict[str, Any] = {
        "used_at": 50.0,
        "loaded_at": 0.0,
        "load_s": 0.1,
        "rate": 0.0,
        "is_idle": True,
        "is_loading": False,
        "may_leave": True,
        **changes,
    }
    return Resident(key=name, name=name, size_bytes=int(size_mb * MB), **values)


def busy(name: str, size_mb: float = 30, **changes: Any) -> Resident:
    return resident(name, size_mb, is_idle=False, **changes)


def pinned(name: str, size_mb: float = 30) -> Resident:
    return resident(name, size_mb, may_leave=False)


@pytest.fixture
def policy() -> ResidencyPolicy:
    return ResidencyPolicy(100 * MB, min_residence_s=5.0)


def evicted(admission: Any) -> list[str]:
    return [each.resident.name for each in admission.evicted]


def test_a_load_that_fits_has_nobody_give_way(policy: ResidencyPolicy) -> None:
    admission = policy.admit("new", "new", 40 * MB, [resident("a"), busy("b")], 100.0)
    assert admission.is_admitted
    assert evicted(admission) == []


def test_what_the_server_itself_holds_counts_and_is_named(policy: ResidencyPolicy) -> None:
    server = Resident.of_server(60 * MB)
    admission = policy.admit("new", "new", 30 * MB, [server, resident("a", 20)], 100.0)
    assert evicted(admission) == ["a"]
    refusal = policy.admit("new", "new", 50 * MB, [server], 100.0).refusal
    assert "60.0 MB are held by the server itself and models that have to stay" in refusal
    assert policy.shrink([server, resident("a", 50)], 100.0)[0].resident.name == "a"
    held = [server, busy("b", 50)]
    assert policy.excess(held, 100.0) == ""
    assert "the most by b: 50.0 MB" in policy.excess(held, 110.0)


def test_a_model_is_taken_for_as_large_as_the_closest_ones_that_were_loaded() -> None:
    typical = TypicalSizes()
    assert typical.expected(("bytes", "kind", "")) is None
    typical.note_load(("other bytes", "kind", ""), 10 * MB)
    typical.note_load(("more", "other kind", ""), 110 * MB)
    assert typical.expected(("bytes", "kind", "")) == 10 * MB
    assert typical.expected(("bytes", "a third kind", "")) == 30 * MB
    typical.note_load(("bytes", "kind", ""), 12 * MB)
    assert typical.expected(("bytes", "kind", "")) == 12 * MB


def test_what_first_requests_add_is_learned_from_models_of_the_kind() -> None:
    typical = TypicalSizes()
    typical.note_load(("bytes",), 10 * MB)
    assert typical.growth(("bytes",)) == 0
    typical.note_growth(("bytes",), 2 * MB)
    assert typical.growth(("bytes",)) == 2 * MB
    assert typical.expected(("bytes",)) == 12 * MB
    typical.note_growth(("bytes",), -1)
    assert 0 < typical.growth(("bytes",)) < 2 * MB


def test_the_least_recently_used_idle_model_gives_way(policy: ResidencyPolicy) -> None:
    others = [resident("a", used_at=60.0), resident("b", used_at=40.0), busy("c", used_at=10.0)]
    admission = policy.admit("new", "new", 30 * MB, others, 100.0)
    assert admission.is_admitted
    assert evicted(admission) == ["b"]
    [eviction] = admission.evicted
    assert eviction.reason == FOR_LOAD
    assert "30.0 MB, last used 60 s ago" in eviction.line
    assert "90.0 MB of 100.0 MB are held" in eviction.line


def test_a_model_that_is_asked_often_and_loads_slowly_stays(policy: ResidencyPolicy) -> None:
    dear = resident("dear", used_at=10.0, rate=1.0, load_s=8.0)
    cheap = resident("cheap", used_at=90.0, rate=1.0, load_s=0.03)
    other = resident("other", used_at=90.0, rate=1.0, load_s=1.0)
    assert evicted(policy.admit("new", "new", 30 * MB, [dear, cheap, other], 100.0)) == ["cheap"]


def test_no_more_models_give_way_than_have_to(policy: ResidencyPolicy) -> None:
    others = [resident("small", 5, used_at=1.0), resident("large", 80, used_at=2.0)]
    assert evicted(policy.admit("new", "new", 50 * MB, others, 100.0)) == ["large"]


def test_a_model_stays_for_its_minimum_where_another_can_give_way(policy: ResidencyPolicy) -> None:
    new = resident("new", used_at=10.0, loaded_at=98.0)
    others = [new, resident("old", used_at=99.0), busy("c")]
    assert evicted(policy.admit("x", "x", 30 * MB, others, 100.0)) == ["old"]
    assert evicted(policy.admit("x", "x", 30 * MB, [new, busy("b"), busy("c")], 100.0)) == ["new"]


def test_pinned_models_and_those_with_a_minimum_of_workers_never_give_way(
    policy: ResidencyPolicy,
) -> None:
    admission = policy.admit(
        "new", "new", 50 * MB, [pinned("a"), pinned("b")], 100.0, waiting_s=1000.0
    )
    assert not admission.is_admitted
    assert admission.refusal == (
        "it takes 50.0 MB of memory, memory_limit is 100.0 MB, and 60.0 MB are held by "
        "the server itself and models that have to stay"
    )


def test_a_load_that_is_larger_than_the_limit_is_refused_with_the_numbers(
    policy: ResidencyPolicy,
) -> None:
    admission = policy.admit("new", "new", 120 * MB, [resident("a")], 100.0)
    assert admission.refusal == "it takes 120.0 MB of memory, memory_limit is 100.0 MB"
    assert evicted(admission) == []


def test_a_guess_refuses_nothing_as_long_as_there_is_any_room(policy: ResidencyPolicy) -> None:
    assert policy.admit("new", "new", 120 * MB, [resident("a")], 100.0, is_guess=True).is_admitted
    assert policy.admit("new", "new", MB, [pinned("a", 100)], 100.0, is_guess=True).refusal


def test_a_load_waits_for_what_others_are_only_guessed_to_take(policy: ResidencyPolicy) -> None:
    loading = busy("m", 90, is_loading=True, may_leave=False, guessed_bytes=90 * MB)
    # One more worker of the model, of which nobody knows more: what is left is promised to it.
    admission = policy.admit("m", "m", 90 * MB, [loading], 100.0, is_guess=True)
    assert (admission.is_admitted, admission.size_bytes) == (True, 10 * MB)
    others = [loading, busy("n", 10, may_leave=False)]
    for key, is_guess in (("m", True), ("other", False)):
        admission = policy.admit(key, key, 20 * MB, others, 100.0, is_guess=is_guess)
        assert not admission.is_admitted
        assert not admission.refusal
        assert "what others take that load is not known yet" in admission.waits_for
    refused = policy.admit("other", "other", 95 * MB, others, 100.0)
    assert refused.refusal.endswith(
        "10.0 MB are held by the server itself and models that have to stay"
    )


def test_more_than_the_limit_is_told_of_where_it_lasts_and_nothing_can_give_way(
    policy: ResidencyPolicy,
) -> None:
    held = [pinned("grown", 80), busy("b", 40)]
    told = {at: line for at in range(700) if (line := policy.excess(held, float(at)))}
    assert list(told) == [5, 605]
    assert told[5] == (
        "120.0 MB of 100.0 MB are held by what is busy or has to stay, the most by grown: 80.0 MB"
    )
    assert policy.excess([pinned("grown", 80)], 2000.0) == ""
    assert policy.excess(held, 2001.0) == ""


def test_a_load_waits_for_busy_models_and_gets_its_turn_in_the_end(policy: ResidencyPolicy) -> None:
    others = [busy("a"), busy("b"), busy("c", is_loading=True)]
    admission = policy.admit("new", "new", 30 * MB, others, 100.0, waiting_s=1.0)
    assert not admission.is_admitted
    assert not admission.refusal
    assert "the models that may give way are busy" in admission.waits_for
    admission = policy.admit("new", "new", 30 * MB, others, 105.0, waiting_s=6.0)
    assert [(each.resident.name, each.reason) for each in admission.evicted] == [("a", FOR_TURN)]
    # One that loads is never broken off.
    loading = [busy("a", is_loading=True), busy("b", is_loading=True), busy("c", is_loading=True)]
    assert not policy.admit("new", "new", 30 * MB, loading, 105.0, waiting_s=60.0).is_admitted


def test_a_busy_model_keeps_its_time_after_its_load_however_long_others_have_waited(
    policy: ResidencyPolicy,
) -> None:
    others = [busy("new", 50, loaded_at=98.0), busy("old", 50, loaded_at=90.0, rate=9.0)]
    admission = policy.admit("c", "c", 50 * MB, others, 100.0, waiting_s=60.0)
    assert evicted(admission) == ["old"]
    assert not policy.admit("c", "c", 50 * MB, [others[0]] * 2, 100.0, waiting_s=60.0).is_admitted
    assert policy.admit("c", "c", 50 * MB, [others[0]] * 2, 103.0, waiting_s=63.0).is_admitted


def test_two_models_that_do_not_fit_together_take_turns_and_that_is_told_once(
    policy: ResidencyPolicy,
) -> None:
    told = []
    names = ["a", "b"]
    for turn in range(100):
        held, new = names[turn % 2], names[(turn + 1) % 2]
        admission = policy.admit(new, new, 60 * MB, [resident(held, 60)], float(turn))
        assert evicted(admission) == [held]
        if admission.alternates_with:
            told.append((new, admission.alternates_with))
    assert told == [("a", "b")]


def test_what_has_grown_beyond_the_limit_has_idle_models_give_way(policy: ResidencyPolicy) -> None:
    held = [resident("a", 40, used_at=1.0), busy("b", 60), resident("c", 40, used_at=2.0)]
    evictions = policy.shrink(held, 100.0, keep="a")
    assert [(each.resident.name, each.reason) for each in evictions] == [("c", FOR_GROWTH)]
    assert policy.shrink([busy("b", 160), pinned("a")], 100.0) == []
    assert policy.shrink([resident("a", 99)], 100.0) == ()


def test_a_footprint_is_that_of_the_last_load_and_the_most_since() -> None:
    footprint = Footprint()
    footprint.note_load(10, 1.0)
    footprint.note_size(30)
    footprint.note_size(20)
    assert (footprint.loaded_bytes, footprint.peak_bytes) == (10, 30)
    footprint.note_load(12, 2.0)
    assert (footprint.loaded_bytes, footprint.peak_bytes) == (12, 12)
    assert 1.0 < footprint.load_s < 2.0


def test_requests_of_long_ago_count_less() -> None:
    use = UseRate()
    use.observe(10, 100.0)
    use.observe(10, 700.0)
    assert use.used_at == 100.0
    assert use.rate(700.0) == pytest.approx(use.rate(100.0) / 4)


# Simulated traffic

_MODELS = 1000


class Simulation:
    """Models of different sizes and times to load, which are asked one at a time."""

    def __init__(self, limit_mb: int, seed: int) -> None:
        self._random = random.Random(seed)
        self.sizes = [self._random.choice((6, 10, 30)) * MB for _ in range(_MODELS)]
        self.limit = limit_mb * MB
        weights = [(rank + 1) ** -1.1 for rank in range(_MODELS)]
        self._weights = list(accumulate(weights))
        self._names = list(range(_MODELS))
        self._random.shuffle(self._names)

    def requests(self, count: int) -> list[int]:
        return self._random.choices(self._names, cum_weights=self._weights, k=count)

    def hits_of_lru(self, requests: list[int]) -> int:
        held: OrderedDict[int, int] = OrderedDict()
        total = hits = 0
        for name in requests:
            if name in held:
                hits += 1
                held.move_to_end(name)
                continue
            while total + self.sizes[name] > self.limit:
                total -= held.popitem(last=False)[1]
            held[name] = self.sizes[name]
            total += self.sizes[name]
        return hits

    def hits_of_policy(self, requests: list[int], rate: float) -> tuple[int, int]:
        """(hits, evictions) of requests that come so often a second."""
        policy = ResidencyPolicy(self.limit, min_residence_s=5.0)
        uses = [UseRate() for _ in range(_MODELS)]
        counts = [0] * _MODELS
        held: dict[int, float] = {}
        hits = evictions = 0
        for number, name in enumerate(requests):
            now = 1.0 + number / rate
            counts[name] += 1
            uses[name].observe(counts[name], now)
            if name in held:
                hits += 1
                continue
            residents = [
                resident(
                    str(each),
                    self.sizes[each] / MB,
                    used_at=uses[each].used_at,
                    loaded_at=loaded_at,
                    rate=uses[each].rate(now),
                )
                for each, loaded_at in held.items()
            ]
            admission = policy.admit(str(name), str(name), self.sizes[name], residents, now)
            assert admission.is_admitted
            for eviction in admission.evicted:
                del held[int(eviction.resident.name)]
                evictions += 1
            held[name] = now
            assert sum(self.sizes[each] for each in held) <= self.limit
        return hits, evictions


def test_more_requests_find_their_model_loaded_than_by_plain_lru(is_full: bool) -> None:
    simulation = Simulation(limit_mb=1500, seed=1)
    requests = simulation.requests(6000 if is_full else 2000)
    hits, evictions = simulation.hits_of_policy(requests, rate=10.0)
    assert hits >= simulation.hits_of_lru(requests)
    # A model gives way only to one that is loaded.
    assert evictions <= len(requests) - hits


def test_models_that_fit_together_stay_whatever_comes_once() -> None:
    """A scan of models that are asked once each does not drive out those that are asked all the time."""
    policy = ResidencyPolicy(100 * MB, min_residence_s=0.0)
    hot = [resident(name, 40, used_at=99.0, rate=1.0, loaded_at=0.0) for name in ("hot-1", "hot-2")]
    for number in range(50):
        last = resident(f"scan-{number}", 20, used_at=99.9, rate=0.002, loaded_at=99.9)
        admission = policy.admit(
            f"scan-{number + 1}", f"scan-{number + 1}", 20 * MB, [*hot, last], 100.0
        )
        assert evicted(admission) == [f"scan-{number}"]
