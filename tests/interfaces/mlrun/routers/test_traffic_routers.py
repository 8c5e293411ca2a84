"""Routers that share requests out: canary and bandit."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from routed_models import Raising, ask, constants, context, made, route

from mms.interfaces.mlrun.model.event import MockEvent
from mms.interfaces.mlrun.routers.traffic import BanditRouter, CanaryRouter


def names(router: Any, count: int, path: str = "/v2/models/infer") -> Counter[str]:
    return Counter(
        ask(router, path, {"inputs": [0], "user": {"id": number}})["model_name"]
        for number in range(count)
    )


def test_requests_are_shared_out_by_weight() -> None:
    canary = made(CanaryRouter, constants(1, 2), weights={"m1": 9, "m2": 1}, seed=1)
    found = names(canary, 1000)
    assert 850 < found["m1"] < 950
    assert found["m1"] + found["m2"] == 1000


def test_a_weight_of_zero_gets_nothing() -> None:
    canary = made(CanaryRouter, constants(1, 2, 3), weights={"m1": 1, "m2": 0}, seed=1)
    assert set(names(canary, 100)) == {"m1"}


@pytest.mark.parametrize("path", ["/", "/v2/models/infer", "/v2/models/CanaryRouter/infer"])
def test_a_router_is_asked_by_its_name_by_an_operation_or_without_a_path(path: str) -> None:
    canary = made(CanaryRouter, constants(1, 2), seed=1)
    assert set(names(canary, 50, path)) == {"m1", "m2"}


def test_a_model_can_be_asked_past_the_router() -> None:
    canary = made(CanaryRouter, constants(1, 2), weights={"m1": 1}, seed=1)
    assert ask(canary, "/v2/models/m2/infer", {"inputs": [0]})["outputs"] == [2]


def test_the_same_value_goes_to_the_same_model_in_every_process() -> None:
    first, second = (
        made(CanaryRouter, constants(1, 2), sticky_path="user.id", seed=seed) for seed in (1, 2)
    )
    shares = Counter()
    for number in range(200):
        body = {"inputs": [0], "user": {"id": number}}
        chosen = {ask(router, "/", dict(body))["model_name"] for router in (first, second, first)}
        assert len(chosen) == 1
        shares.update(chosen)
    assert 60 < shares["m1"] < 140


def test_a_request_without_the_sticky_value_goes_anywhere() -> None:
    canary = made(CanaryRouter, constants(1, 2), sticky_path="user.name", seed=1)
    assert set(names(canary, 50)) == {"m1", "m2"}


def test_a_canary_lists_its_models_and_shares() -> None:
    canary = made(CanaryRouter, constants(1, 2), weights={"m1": 9, "m2": 1}, name="release")
    assert ask(canary, "/v2/models") == {
        "models": ["m1", "m2", "release"],
        "weights": {"m1": 9, "m2": 1},
    }
    assert ask(canary, "/v2/models/release")["name"] == "release"
    assert ask(canary, "/v2/models/release/ready").status_code == 200


def test_readiness_is_asked_by_get_and_what_is_told_ends_a_flow() -> None:
    canary = made(CanaryRouter, constants(1, 2))
    assert ask(canary, "/v2/models/CanaryRouter/ready", {"x": 1}).status_code == 400
    for path, is_end in (("/v2/models", True), ("/v2/models/CanaryRouter", True), ("/", False)):
        event = MockEvent({"inputs": [0]}, path=path, method="GET" if is_end else "POST")
        assert canary.do_event(event).terminated is is_end


def test_what_a_router_cannot_be_asked_is_refused() -> None:
    canary = made(CanaryRouter, constants(1, 2), context(strict_status=True))
    found = ask(canary, "/v2/models/CanaryRouter/reward", {"reward": 1})
    assert (found.status_code, found.body) == (
        404,
        "ValueError: illegal model operation reward, method=POST",
    )


@pytest.mark.parametrize(
    ("cls", "arguments", "text"),
    [
        (CanaryRouter, {"weights": {"x": 1}}, "models that the router does not have: x"),
        (CanaryRouter, {"weights": {"m1": 0}}, "weights are all 0"),
        (BanditRouter, {"strategy": "ucb"}, "strategy is 'ucb'"),
        (BanditRouter, {"epsilon": 2}, "epsilon is 2"),
    ],
)
def test_a_router_that_cannot_be_is_refused_at_its_start(
    cls: Any, arguments: Any, text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        made(cls, constants(1, 2), **arguments)


@pytest.mark.parametrize("cls", [CanaryRouter, BanditRouter])
def test_a_router_without_models_is_refused_at_its_start(cls: Any) -> None:
    with pytest.raises(ValueError, match="has no models to choose from"):
        made(cls, {})


@pytest.mark.parametrize("strategy", ["epsilon_greedy", "thompson"])
def test_a_bandit_learns_from_rewards_by_id(strategy: str) -> None:
    bandit = made(BanditRouter, constants(0, 1), strategy=strategy, seed=1)
    chosen = []
    for number in range(400):
        answer = ask(bandit, "/v2/models/infer", {"inputs": [0], "id": f"r{number}"})
        chosen.append(answer["model_name"])
        told = ask(
            bandit,
            "/v2/models/BanditRouter/reward",
            {"id": answer["id"], "reward": answer["outputs"][0]},
        )
        assert told["model"] == answer["model_name"]
    assert chosen[-200:].count("m2") > 150


def test_rewards_go_by_the_events_id_where_the_body_has_none() -> None:
    bandit = made(BanditRouter, constants(0), seed=1)
    ask(bandit, "/", {"inputs": [0]}, event_id="e1")
    told = ask(bandit, "/v2/models/BanditRouter/reward", {"id": "e1", "reward": 1})
    assert told == {"model": "m1", "requests": 1, "rewards": 1, "mean_reward": 1.0}


def test_rewards_that_cannot_be_are_refused() -> None:
    bandit = made(BanditRouter, constants(0), context(strict_status=True))
    found = ask(bandit, "/v2/models/BanditRouter/reward", {"id": "nobody", "reward": 1})
    assert found.status_code == 404
    found = ask(bandit, "/v2/models/BanditRouter/reward", {"id": "x"})
    assert found.status_code == 422


def test_a_model_that_fails_is_rewarded_as_one() -> None:
    bandit = made(BanditRouter, {"bad": route(Raising, "bad")})
    assert ask(bandit, "/", {"inputs": [0]}).status_code == 400
    described = ask(bandit, "/v2/models/BanditRouter")
    assert described["arms"]["bad"] == {"requests": 1, "rewards": 1, "mean_reward": 0.0}
    lenient = made(BanditRouter, {"bad": route(Raising, "bad")}, failure_reward=None)
    ask(lenient, "/", {"inputs": [0]})
    assert ask(lenient, "/v2/models")["arms"]["bad"]["rewards"] == 0


def test_a_model_asked_past_the_bandit_teaches_it_nothing() -> None:
    bandit = made(BanditRouter, constants(0, 1))
    ask(bandit, "/v2/models/m1/infer", {"inputs": [0], "id": "x"})
    assert ask(bandit, "/v2/models")["arms"]["m1"]["requests"] == 0
    found = ask(bandit, "/v2/models/BanditRouter/reward", {"id": "x", "reward": 1})
    assert "no request with id x waits for a reward" in found.body
