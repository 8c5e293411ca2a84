"""A router that takes the branch which did best so far, and now and then another one."""

from __future__ import annotations

from typing import Any

import numpy as np
from branch_record import BranchRecord


class EpsilonGreedy:
    """`epsilon`: the share of requests for which another branch than the best one is tried."""

    def __init__(
        self,
        n_branches: int | None = None,
        epsilon: float = 0.1,
        best_branch: int | None = None,
        seed: int | None = None,
        branch_names: str | None = None,
    ) -> None:
        self.record = BranchRecord(n_branches, branch_names)
        self.epsilon = float(epsilon)
        self._random = np.random.default_rng(seed)
        drawn = int(self._random.integers(self.record.n_branches))
        self.best_branch = drawn if best_branch is None else int(best_branch)

    def route(self, features: Any, names: Any, meta: Any = None) -> int:
        others = [b for b in range(self.record.n_branches) if b != self.best_branch]
        if others and self._random.random() < self.epsilon:
            return int(self._random.choice(others))
        return self.best_branch

    def send_feedback(
        self, features: Any, names: Any, reward: float, truth: Any, routing: int | None = None
    ) -> None:
        self.record.add(routing, features, reward)
        values = self.record.values
        # Among equals any may be the best.
        self.best_branch = int(self._random.choice(np.flatnonzero(values == values.max())))

    def metrics(self) -> list[dict[str, Any]]:
        return self.record.metrics(self.best_branch)
