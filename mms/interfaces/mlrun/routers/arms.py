"""Which of several models gets a request: by fixed shares, or by what they were rewarded for. No input or output."""

from __future__ import annotations

import hashlib
import math
import random
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from mms.brief import brief
from mms.interfaces.mlrun.errors import with_strict_status
from mms.interfaces.mlrun.routers.votes import check_weights

EPSILON_GREEDY = "epsilon_greedy"
THOMPSON = "thompson"
STRATEGIES = (EPSILON_GREEDY, THOMPSON)
#: Requests whose rewards are waited for.
MAX_REMEMBERED = 10_000


def choose_weighted(weights: Mapping[str, float], point: float) -> str:
    """The one in whose share `point`, 0 <= point < 1, lies."""
    total = math.fsum(weights.values())
    rest = point * total
    chosen = ""
    for arm, weight in weights.items():
        if weight <= 0:
            continue
        chosen = arm
        if rest < weight:
            break
        rest -= weight
    return chosen


def point_of(key: Any) -> float:
    """A number, 0 <= point < 1, that is the same for the same key, in every process."""
    digest = hashlib.blake2b(str(key).encode("utf-8", "replace"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


def check_shares(weights: Any, models: Sequence[str]) -> dict[str, float]:
    """The shares of the models; equal ones where none are given. Raises ValueError."""
    found = check_weights(weights)
    if found is None:
        return dict.fromkeys(models, 1.0)
    unknown = [model for model in found if model not in models]
    if unknown:
        raise ValueError(
            f"weights name models that the router does not have: {', '.join(unknown)}; "
            f"it has {', '.join(models)}"
        )
    if math.fsum(found.values()) <= 0:
        raise ValueError("weights are all 0: no model would get a request")
    return found


class Bandit:
    """A multi-armed bandit. Not thread-safe: owned by the one who routes.

    epsilon_greedy: of `epsilon` of all requests any arm gets one, of the others the arm with the best mean reward.
    thompson: the arm with the highest draw from the distribution of its rewards, which lie in 0 to 1.
    """

    def __init__(
        self,
        arms: Sequence[str],
        strategy: str = EPSILON_GREEDY,
        epsilon: float = 0.1,
        seed: int | None = None,
    ) -> None:
        if strategy not in STRATEGIES:
            raise ValueError(
                f"strategy is {brief(strategy)}, must be one of {', '.join(STRATEGIES)}"
            )
        if not 0 <= epsilon <= 1:
            raise ValueError(f"epsilon is {brief(epsilon)}, must be from 0 to 1")
        if not arms:
            raise ValueError("a bandit needs at least one model")
        self.strategy = strategy
        self.epsilon = epsilon
        self._random = random.Random(seed)
        self._counts = dict.fromkeys(arms, 0)
        self._totals = dict.fromkeys(arms, 0.0)
        self._chosen = dict.fromkeys(arms, 0)
        self._remembered: OrderedDict[str, str] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Bandit {self.strategy} over {', '.join(self._counts)}>"

    def choose(self) -> str:
        """The arm for the next request."""
        arm = self._thompson() if self.strategy == THOMPSON else self._epsilon_greedy()
        self._chosen[arm] += 1
        return arm

    def remember(self, request_id: Any, arm: str) -> None:
        """Which arm answered a request, for its reward. The oldest are forgotten."""
        self._remembered.pop(str(request_id), None)
        self._remembered[str(request_id)] = arm
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)

    def reward(self, arm: str, reward: Any) -> None:
        """Raises ValueError for an unknown arm and for what is no reward."""
        if arm not in self._counts:
            raise with_strict_status(
                ValueError(f"model {arm} is not one of the router's: {' | '.join(self._counts)}"),
                404,
            )
        is_number = isinstance(reward, int | float)  # True and False are rewards of 1 and 0
        if not is_number or not math.isfinite(reward):
            raise with_strict_status(
                ValueError(f"reward is {brief(reward)}, must be a number"), 422
            )
        if self.strategy == THOMPSON and not 0 <= reward <= 1:
            raise with_strict_status(
                ValueError(f"reward is {brief(reward)}, must be from 0 to 1 for {THOMPSON}"), 422
            )
        self._counts[arm] += 1
        self._totals[arm] += reward

    def reward_request(self, body: Any) -> dict[str, Any]:
        """Take {"id" or "model", "reward"}; a request is rewarded once. The answer. Raises ValueError."""
        if not isinstance(body, dict) or "reward" not in body:
            raise with_strict_status(
                ValueError('Expected "reward", and "id" of a request or "model", in request body'),
                422,
            )
        if body.get("id") is not None:
            request_id = str(body["id"])
            arm = self._remembered.get(request_id)
            if arm is None:
                raise with_strict_status(
                    ValueError(
                        f"no request with id {request_id} waits for a reward: it is unknown, too "
                        "old or was rewarded before"
                    ),
                    404,
                )
            self.reward(arm, body["reward"])
            del self._remembered[request_id]
        elif body.get("model"):
            arm = str(body["model"])
            self.reward(arm, body["reward"])
        else:
            raise with_strict_status(
                ValueError('Expected "id" of a request or "model" in request body'), 422
            )
        return {"model": arm, **self.statistics()[arm]}

    def statistics(self) -> dict[str, dict[str, Any]]:
        """By arm: requests it was chosen for, rewards it got, their mean (None without any)."""
        return {
            arm: {
                "requests": self._chosen[arm],
                "rewards": count,
                "mean_reward": self._totals[arm] / count if count else None,
            }
            for arm, count in self._counts.items()
        }

    def _epsilon_greedy(self) -> str:
        arms = list(self._counts)
        untried = [arm for arm in arms if not self._counts[arm]]
        if self._random.random() < self.epsilon:
            return self._random.choice(arms)
        tried = [arm for arm in arms if self._counts[arm]]
        if not tried:
            return self._random.choice(untried)
        means = {arm: self._totals[arm] / self._counts[arm] for arm in tried}
        best = max(means.values())
        return self._random.choice([arm for arm in tried if means[arm] == best])

    def _thompson(self) -> str:
        draws = {
            arm: self._random.betavariate(1 + self._totals[arm], 1 + count - self._totals[arm])
            for arm, count in self._counts.items()
        }
        return max(draws, key=draws.__getitem__)
