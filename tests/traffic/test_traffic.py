"""Which of several models gets a request."""

from __future__ import annotations

import math
from typing import Any

import pytest

from mms.traffic import bandit as bandits
from mms.traffic.bandit import Bandit, NothingToReward
from mms.traffic.weights import check_shares, choose_weighted, point_of


@pytest.mark.parametrize(
    ("point", "arm"), [(0.0, "a"), (0.59, "a"), (0.6, "c"), (0.99, "c"), (1 - 2**-53, "c")]
)
def test_a_point_falls_into_a_share(point: float, arm: str) -> None:
    assert choose_weighted({"a": 60, "b": 0, "c": 40}, point) == arm


def test_points_of_keys_are_the_same_everywhere_and_spread_evenly() -> None:
    # A fixed value: another process, release or machine must come to the same.
    assert point_of("user-1") == pytest.approx(0.6041924, abs=1e-6)
    below = sum(point_of(number) < 0.3 for number in range(10_000))
    assert 2800 < below < 3200


def test_shares_are_equal_where_none_are_given() -> None:
    assert check_shares(None, ["a", "b"]) == {"a": 1.0, "b": 1.0}


def test_a_share_of_an_unknown_model_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ValueError, match="does not have: x; it has a, b"):
        check_shares({"a": 1, "x": 1}, ["a", "b"])
    with pytest.raises(ValueError, match="weights are all 0"):
        check_shares({"a": 0}, ["a", "b"])


@pytest.mark.parametrize("strategy", ["epsilon_greedy", "thompson"])
def test_a_bandit_comes_to_prefer_the_arm_that_is_rewarded(strategy: str) -> None:
    bandit = Bandit(["bad", "good"], strategy, seed=1)
    chosen = []
    for _ in range(1000):
        arm = bandit.choose()
        chosen.append(arm)
        bandit.reward(arm, 1 if arm == "good" else 0)
    assert chosen[-500:].count("good") > 400
    # It never stops to look what the other would do.
    assert "bad" in chosen
    assert bandit.statistics()["good"]["mean_reward"] == 1.0


def test_without_epsilon_the_best_arm_alone_is_chosen() -> None:
    bandit = Bandit(["a", "b"], epsilon=0, seed=1)
    bandit.reward("a", 0.2)
    bandit.reward("b", 0.3)
    assert {bandit.choose() for _ in range(50)} == {"b"}


def test_with_epsilon_of_one_every_arm_is_chosen() -> None:
    bandit = Bandit(["a", "b", "c"], epsilon=1, seed=1)
    bandit.reward("a", 1)
    assert {bandit.choose() for _ in range(100)} == {"a", "b", "c"}


def test_a_request_is_rewarded_once_by_its_id() -> None:
    bandit = Bandit(["a", "b"], seed=1)
    bandit.remember("r1", "a")
    assert bandit.reward_request({"id": "r1", "reward": 1}) == {
        "model": "a",
        "requests": 0,
        "rewards": 1,
        "mean_reward": 1.0,
    }
    with pytest.raises(NothingToReward, match="no request with id r1 waits for a reward"):
        bandit.reward_request({"id": "r1", "reward": 1})


def test_a_model_is_rewarded_by_its_name() -> None:
    bandit = Bandit(["a", "b"])
    assert bandit.reward_request({"model": "b", "reward": 0.5})["mean_reward"] == 0.5


def test_a_reward_that_is_refused_can_be_given_again() -> None:
    bandit = Bandit(["a"])
    bandit.remember("r1", "a")
    with pytest.raises(ValueError, match="reward is 'x', must be a number"):
        bandit.reward_request({"id": "r1", "reward": "x"})
    assert bandit.reward_request({"id": "r1", "reward": True})["rewards"] == 1


@pytest.mark.parametrize(
    ("body", "text", "error"),
    [
        ({"id": "r1"}, 'Expected "reward"', ValueError),
        ([1], 'Expected "reward"', ValueError),
        (None, 'Expected "reward"', ValueError),
        ({"reward": 1}, 'Expected "id" of a request or "model"', ValueError),
        ({"model": "x", "reward": 1}, "model x is not one of the router's: a", NothingToReward),
        ({"model": "a", "reward": math.nan}, "must be a number", ValueError),
        ({"model": "a", "reward": None}, "must be a number", ValueError),
        ({"model": "a", "reward": 2}, "must be from 0 to 1 for thompson", ValueError),
    ],
)
def test_a_reward_that_cannot_be_is_refused(body: Any, text: str, error: type[ValueError]) -> None:
    bandit = Bandit(["a"], "thompson")
    with pytest.raises(ValueError, match=text) as caught:
        bandit.reward_request(body)
    assert type(caught.value) is error
    assert bandit.statistics()["a"]["rewards"] == 0


def test_the_oldest_requests_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bandits, "MAX_REMEMBERED", 2)
    bandit = Bandit(["a"])
    for number in range(3):
        bandit.remember(number, "a")
    with pytest.raises(ValueError, match="too old"):
        bandit.reward_request({"id": 0, "reward": 1})
    assert bandit.reward_request({"id": "2", "reward": 1})["rewards"] == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"strategy": "ucb"}, "strategy is 'ucb', must be one of epsilon_greedy, thompson"),
        ({"epsilon": 1.5}, "epsilon is 1.5, must be from 0 to 1"),
        ({"models": []}, "needs at least one model"),
    ],
)
def test_a_bandit_that_cannot_be_is_refused(arguments: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Bandit(**{"models": ["a"], **arguments})
