"""What the owner of a cluster decides: whose change stands, what fronts hear, and whose the workers are."""

from __future__ import annotations

from typing import Any

import pytest

from mms.cluster.registry import MOST_GONE, ClusterRegistry, Known, first_front, share_of

_A: list[dict[str, Any]] = [{"model": "m", "version": None}]
_B: list[dict[str, Any]] = [{"model": "m", "version": "2"}]


def test_a_change_is_refused_of_what_another_front_has_changed_meanwhile() -> None:
    registry = ClusterRegistry()
    assert registry.change({}, {"m": _A}) == (["m"], [])
    assert registry.change({}, {"m": _B}) == ([], ["m"])
    assert registry.names["m"].entries == _A
    assert registry.change({"m": registry.names["m"].revision}, {"m": _B}) == (["m"], [])


def test_the_same_change_told_twice_is_made_once() -> None:
    registry = ClusterRegistry()
    registry.change({}, {"m": _A})
    revision = registry.revision
    assert registry.change({}, {"m": _A}) == ([], [])
    assert registry.revision == revision


def test_a_front_hears_what_came_after_what_it_knows_and_no_more() -> None:
    registry = ClusterRegistry()
    registry.change({}, {"m": _A})
    known = registry.revision
    registry.change({}, {"n": _B})
    assert list(registry.since(known)["names"]) == ["n"]
    assert registry.since(registry.revision)["names"] == {}


def test_an_owner_that_begins_anew_takes_what_is_newest_of_journal_and_fronts() -> None:
    registry = ClusterRegistry()
    registry.merge(7, {"m": Known(5, _A), "gone": Known(7, [])})
    registry.merge(6, {"m": Known(6, _B), "gone": Known(3, _A)})
    assert registry.names["m"].entries == _B
    assert registry.names["gone"].entries == []
    registry.change({"m": 6}, {"m": _A})
    assert registry.names["m"].revision == 8


def test_a_front_counts_while_it_is_heard_and_its_server_is_up() -> None:
    registry = ClusterRegistry()
    registry.join("front-1", {"inference_address": "http://a:1"}, 0.0)
    registry.join("front-2", {}, 0.0)
    assert registry.sharing == ("front-1",)
    registry.join("front-2", {"inference_address": "http://b:1"}, 1.0)
    assert registry.sharing == ("front-1", "front-2")
    registry.hear("front-2", 6.0)
    assert registry.share(6.0) is False
    assert registry.sharing == ("front-2",)
    assert not registry.hear("stranger", 6.0)


def test_names_that_come_and_go_do_not_pile_up() -> None:
    registry = ClusterRegistry()
    for number in range(MOST_GONE + 2):
        name = f"m-{number}"
        registry.change({}, {name: _A})
        registry.change({name: registry.revision}, {name: []} if number else {name: _B})
    assert len(registry.names) < MOST_GONE
    assert registry.names["m-0"].entries == _B
    assert f"m-{MOST_GONE + 1}" in registry.names


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 64])
@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_workers_are_divided_without_a_rest_and_evenly(count: int, number: int) -> None:
    fronts = [f"front-{each}" for each in range(number)]
    shares = [share_of(count, "m", front, fronts) for front in fronts]
    assert sum(shares) == count
    assert max(shares) - min(shares) <= 1


def test_models_with_few_workers_are_not_all_at_the_same_front() -> None:
    fronts = ["front-1", "front-2", "front-3"]
    firsts = [first_front(f"model-{number}", "front-1", fronts) for number in range(300)]
    assert all(firsts.count(front) > 60 for front in fronts)


def test_a_new_front_takes_over_workers_of_others_and_they_none_of_each_other() -> None:
    fronts = ["front-1", "front-2"]
    for number in range(100):
        before = first_front(f"model-{number}", "front-1", fronts)
        after = first_front(f"model-{number}", "front-1", [*fronts, "front-3"])
        assert after in (before, "front-3")


def test_a_share_is_never_larger_than_that_of_more_workers() -> None:
    fronts = ["front-1", "front-2", "front-3"]
    for front in fronts:
        shares = [share_of(count, "m", front, fronts) for count in range(20)]
        assert shares == sorted(shares)
