"""Routers that share requests out among models: by weights (canary), or by what they learn (bandit)."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from mms.interfaces.mlrun.errors import with_strict_status
from mms.interfaces.mlrun.paths import get_path
from mms.interfaces.mlrun.routers.router import NamedRouter
from mms.interfaces.mlrun.routers.routing import Call, Final, Forward, ReadBody, Steps
from mms.traffic.bandit import EPSILON_GREEDY, Bandit, NothingToReward
from mms.traffic.weights import check_shares, choose_weighted, point_of

REWARD = "reward"


class _TrafficRouter(NamedRouter):
    """Has one of its models answer each request."""

    def __init__(
        self, context: Any = None, name: str | None = None, routes: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(context, name or self.default_name, routes, **kwargs)

    def post_init(self, mode: str = "sync", **_: Any) -> None:
        super().post_init(mode)
        if not self.routes:
            raise ValueError(f"router {self.name} has no models to choose from")


class CanaryRouter(_TrafficRouter):
    """Requests by shares: `weights` {"stable": 95, "next": 5}."""

    default_name = "CanaryRouter"

    def __init__(
        self,
        context: Any = None,
        name: str | None = None,
        routes: dict[str, Any] | None = None,
        *,
        weights: Mapping[str, float] | None = None,
        sticky_path: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        """`weights`: by model, those that are not named get none; the same for all where None.

        `sticky_path`: requests with the same value at this path of their body, for example `user.id`, go to the same
        model, in every process, as long as the weights stay.
        """
        super().__init__(context, name, routes, **kwargs)
        self.weights = weights
        self.sticky_path = sticky_path
        self._random = random.Random(seed)
        self._shares: dict[str, float] | None = None

    def post_init(self, mode: str = "sync", **_: Any) -> None:
        super().post_init(mode)
        self._shares = check_shares(self.weights, list(self.routes))

    @property
    def shares(self) -> dict[str, float]:
        if self._shares is None:
            self._shares = check_shares(self.weights, list(self.routes))
        return self._shares

    def describe_routing(self) -> dict[str, Any]:
        return {"weights": self.shares}

    def _infer(self, call: Call) -> Steps:
        key = None
        if self.sticky_path:
            body = yield ReadBody()
            key = get_path(body, self.sticky_path) if isinstance(body, dict) else None
        model = choose_weighted(
            self.shares, self._random.random() if key is None else point_of(key)
        )
        return (yield Forward(model, call.operation)).answer


class BanditRouter(_TrafficRouter):
    """Requests to the models that were rewarded most, and some to the others, to learn of them.

    Rewards come as `POST <prefix>/<name>/reward` with {"id" of an answer or "model", "reward"}.
    """

    default_name = "BanditRouter"

    def __init__(
        self,
        context: Any = None,
        name: str | None = None,
        routes: dict[str, Any] | None = None,
        *,
        strategy: str = EPSILON_GREEDY,
        epsilon: float = 0.1,
        failure_reward: float | None = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        """`strategy`: epsilon_greedy or thompson (rewards from 0 to 1). `failure_reward`: for a model that fails."""
        super().__init__(context, name, routes, **kwargs)
        self.strategy = strategy
        self.epsilon = epsilon
        self.failure_reward = failure_reward
        self.seed = seed
        self._bandit: Bandit | None = None

    def post_init(self, mode: str = "sync", **_: Any) -> None:
        super().post_init(mode)
        self._bandit = Bandit(list(self.routes), self.strategy, self.epsilon, self.seed)

    @property
    def bandit(self) -> Bandit:
        if self._bandit is None:
            self._bandit = Bandit(list(self.routes), self.strategy, self.epsilon, self.seed)
        return self._bandit

    def describe_routing(self) -> dict[str, Any]:
        return {"strategy": self.strategy, "arms": self.bandit.statistics()}

    def _infer(self, call: Call) -> Steps:
        body = yield ReadBody("id")
        own_id = body.get("id") if isinstance(body, dict) else None
        request_id = call.event_id if own_id is None else own_id
        model = self.bandit.choose()
        try:
            answer, is_success = yield Forward(model, call.operation)
        except Exception:
            self._note_failure(model)
            raise
        if is_success:
            self.bandit.remember(request_id, model)
        else:
            self._note_failure(model)
        return answer

    def _note_failure(self, model: str) -> None:
        if self.failure_reward is not None:
            self.bandit.reward(model, self.failure_reward)

    def _operate(self, call: Call) -> Steps:
        if call.operation == REWARD and call.method != "GET":
            body = yield ReadBody()
            try:
                return Final(self.bandit.reward_request(body))
            except ValueError as error:
                status = 404 if isinstance(error, NothingToReward) else 422
                raise with_strict_status(ValueError(str(error)), status) from None
        return (yield from super()._operate(call))
