"""Which of several models gets a request, by what they were rewarded for. No input or output."""

from __future__ import annotations

import math
import random
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from mms.text.brief import brief

EPSILON_GREEDY = "epsilon_greedy"
THOMPSON = "thompson"
STRATEGIES = (EPSILON_GREEDY, THOMPSON)
#: Requests whose rewards are waited for.
MAX_REMEMBERED = 10_000


class NothingToReward(ValueError):
    """A reward names a model or a request that the bandit does not know."""


class Bandit:
    """A multi-armed bandit, whose arms are models. Its methods may be called by several threads.

    With epsilon_greedy the share `epsilon` of the requests goes to any model, and the rest to the model with the best
    mean reward. With thompson a request goes to the model with the highest draw from the distribution of its rewards,
    which lie in 0 to 1.
    """

    def __init__(
        self,
        models: Sequence[str],
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
        if not models:
            raise ValueError("a bandit needs at least one model")
        self.strategy = strategy
        self.epsilon = epsilon
        self._random = random.Random(seed)
        self._counts = dict.fromkeys(models, 0)
        self._totals = dict.fromkeys(models, 0.0)
        self._chosen = dict.fromkeys(models, 0)
        self._remembered: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"<Bandit {self.strategy} over {', '.join(self._counts)}>"

    def choose(self) -> str:
        """Return the model for the next request."""
        with self._lock:
            model = self._thompson() if self.strategy == THOMPSON else self._epsilon_greedy()
            self._chosen[model] += 1
        return model

    def remember(self, request_id: Any, model: str) -> None:
        """Note which model answered a request, for its reward. The oldest are forgotten."""
        with self._lock:
            self._remembered.pop(str(request_id), None)
            self._remembered[str(request_id)] = model
            if len(self._remembered) > MAX_REMEMBERED:
                self._remembered.popitem(last=False)

    def reward(self, model: str, reward: Any) -> None:
        """Raises NothingToReward for an unknown model, ValueError for what is no reward."""
        if model not in self._counts:
            raise NothingToReward(
                f"model {model} is not one of the router's: {' | '.join(self._counts)}"
            )
        is_number = isinstance(reward, int | float)  # True and False are rewards of 1 and 0
        if not is_number or not math.isfinite(reward):
            raise ValueError(f"reward is {brief(reward)}, must be a number")
        if self.strategy == THOMPSON and not 0 <= reward <= 1:
            raise ValueError(f"reward is {brief(reward)}, must be from 0 to 1 for {THOMPSON}")
        with self._lock:
            self._counts[model] += 1
            self._totals[model] += reward

    def reward_request(self, body: Any) -> dict[str, Any]:
        """Take {"id" or "model", "reward"} and return what is known of the model. A request is rewarded once.

        Raises ValueError.
        """
        if not isinstance(body, dict) or "reward" not in body:
            raise ValueError('Expected "reward", and "id" of a request or "model", in request body')
        with self._lock:
            if body.get("id") is not None:
                request_id = str(body["id"])
                model = self._remembered.get(request_id)
                if model is None:
                    raise NothingToReward(
                        f"no request with id {request_id} waits for a reward: it is unknown, too "
                        "old or was rewarded before"
                    )
                self.reward(model, body["reward"])
                del self._remembered[request_id]
            elif body.get("model"):
                model = str(body["model"])
                self.reward(model, body["reward"])
            else:
                raise ValueError('Expected "id" of a request or "model" in request body')
            return {"model": model, **self.statistics()[model]}

    def statistics(self) -> dict[str, dict[str, Any]]:
        """Return by model: requests it was chosen for, rewards it got, their mean (None without any)."""
        return {
            model: {
                "requests": self._chosen[model],
                "rewards": count,
                "mean_reward": self._totals[model] / count if count else None,
            }
            for model, count in self._counts.items()
        }

    def _epsilon_greedy(self) -> str:
        tried = [model for model, count in self._counts.items() if count]
        if not tried or self._random.random() < self.epsilon:
            return self._random.choice(list(self._counts))
        means = {model: self._totals[model] / self._counts[model] for model in tried}
        best = max(means.values())
        return self._random.choice([model for model in tried if means[model] == best])

    def _thompson(self) -> str:
        draws = {
            model: self._random.betavariate(
                1 + self._totals[model], 1 + count - self._totals[model]
            )
            for model, count in self._counts.items()
        }
        return max(draws, key=draws.__getitem__)
