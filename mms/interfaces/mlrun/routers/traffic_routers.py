"""Routers that share requests out among models: by weights (canary), or by what they learn (bandit)."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from typing import Any

from mms.interfaces.mlrun.errors import with_strict_status
from mms.interfaces.mlrun.model.model_path import OWN_OPERATIONS, resolve_named_route
from mms.interfaces.mlrun.paths import get_path
from mms.interfaces.mlrun.routers.arms import (
    EPSILON_GREEDY,
    Bandit,
    check_shares,
    choose_weighted,
    point_of,
)
from mms.interfaces.mlrun.routers.routers import BaseModelRouter

REWARD = "reward"


class _TrafficRouter(BaseModelRouter):
    """Asked by its name, by an operation alone or without a path it chooses; other requests are a model's."""

    _default_name = ""

    def post_init(self, mode: str = "sync", **_: Any) -> None:
        super().post_init(mode)
        self.name = self.name or self._default_name
        if not self.routes:
            raise ValueError(f"router {self.name} has no models to choose from")

    def _choose(self, event: Any) -> str:
        raise NotImplementedError

    def _describe(self) -> dict[str, Any]:
        """What it says of its models besides their names."""
        raise NotImplementedError

    def _own_operation(self, event: Any, operation: str) -> Any:
        """The answer to an operation on the router itself."""
        raise with_strict_status(
            ValueError(f"illegal model operation {operation}, method={event.method}"), 404
        )

    def _handle_event(self, event: Any) -> Any:
        name = self.name or self._default_name
        model, operation = resolve_named_route(
            event.path,
            event.method,
            self.routes,
            name,
            url_prefix=self.url_prefix,
            body=event.body,
            has_body_operation=self._has_option("body_operation"),
        )
        if not model:
            event.terminated = True
            event.body = {"models": [*self.routes, name], **self._describe()}
        elif model in self.routes:
            event.body = self._ask(model, event, operation or "")
        elif operation == "" and event.method == "GET":
            event.terminated = True
            event.body = {"name": name, "version": "", "inputs": [], "outputs": []}
            event.body.update(self._describe())
        elif operation in OWN_OPERATIONS:
            event.body = self._ask_chosen(self._choose(event), event, operation)
        elif operation == "ready" and event.method == "GET":
            # Any of its models may get the next request; the first tells of itself.
            event.body = self._ask(next(iter(self.routes)), event, operation)
        else:
            event.terminated = True
            event.body = self._own_operation(event, operation or "")
        return event

    def _ask_chosen(self, model: str, event: Any, operation: str) -> Any:
        return self._ask(model, event, operation)

    def _ask(self, model: str, event: Any, operation: str) -> Any:
        answered = self._run_route(model, event, operation)
        return None if answered is None else answered.body


class CanaryRouter(_TrafficRouter):
    """Requests by shares: `weights` {"stable": 95, "next": 5}."""

    _default_name = "CanaryRouter"

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
        super().__init__(context, name or self._default_name, routes, **kwargs)
        self.weights = weights
        self.sticky_path = sticky_path
        self._random = random.Random(seed)
        self._shares: dict[str, float] | None = None

    def post_init(self, mode: str = "sync", **_: Any) -> None:
        super().post_init(mode)
        self._shares = check_shares(self.weights, list(self.routes))

    def _choose(self, event: Any) -> str:
        shares = self._shares
        if shares is None:
            shares = self._shares = check_shares(self.weights, list(self.routes))
        key = None
        if self.sticky_path and isinstance(event.body, dict):
            key = get_path(event.body, self.sticky_path)
        return choose_weighted(shares, self._random.random() if key is None else point_of(key))

    def _describe(self) -> dict[str, Any]:
        return {"weights": self._shares or self.weights}


class BanditRouter(_TrafficRouter):
    """Requests to the models that were rewarded most, and some to the others, to learn of them.

    Rewards come as `POST <prefix>/<name>/reward` with {"id" of an answer or "model", "reward"}.
    """

    _default_name = "BanditRouter"

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
        super().__init__(context, name or self._default_name, routes, **kwargs)
        self.strategy = strategy
        self.epsilon = epsilon
        self.failure_reward = failure_reward
        self.seed = seed
        self._lock = threading.Lock()
        self._bandit: Bandit | None = None

    def post_init(self, mode: str = "sync", **_: Any) -> None:
        super().post_init(mode)
        self._bandit = Bandit(list(self.routes), self.strategy, self.epsilon, self.seed)

    @property
    def bandit(self) -> Bandit:
        if self._bandit is None:
            self._bandit = Bandit(list(self.routes), self.strategy, self.epsilon, self.seed)
        return self._bandit

    def _choose(self, event: Any) -> str:
        with self._lock:
            return self.bandit.choose()

    def _ask_chosen(self, model: str, event: Any, operation: str) -> Any:
        request_id = event.id
        if isinstance(event.body, dict) and event.body.get("id") is not None:
            request_id = event.body["id"]
        try:
            answer = self._ask(model, event, operation)
        except Exception:
            if self.failure_reward is not None:
                with self._lock:
                    self.bandit.reward(model, self.failure_reward)
            raise
        with self._lock:
            self.bandit.remember(request_id, model)
        return answer

    def _own_operation(self, event: Any, operation: str) -> Any:
        if operation == REWARD and event.method != "GET":
            with self._lock:
                return self.bandit.reward_request(event.body)
        return super()._own_operation(event, operation)

    def _describe(self) -> dict[str, Any]:
        with self._lock:
            return {"strategy": self.strategy, "arms": self.bandit.statistics()}
