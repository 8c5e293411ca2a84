"""A router that takes each branch as often as it is likely to be the best one, by what feedback has told so far."""

from __future__ import annotations

from typing import Any

import numpy as np
from branch_record import BranchRecord


class ThompsonSampling:
    """Believes nothing at first: a branch's share of successes may be anything from 0 to 1."""

    def __init__(
        self,
        n_branches: int | None = None,
        seed: int | None = None,
        branch_names: str | None = None,
    ) -> None:
        self.record = BranchRecord(n_branches, branch_names)
        self._random = np.random.default_rng(seed)

    def route(self, features: Any, names: Any, meta: Any = None) -> int:
        failures = self.record.tries - self.record.successes
        return int(self._random.beta(1 + self.record.successes, 1 + failures).argmax())

    def send_feedback(
        self, features: Any, names: Any, reward: float, truth: Any, routing: int | None = None
    ) -> None:
        self.record.add(routing, features, reward)

    def metrics(self) -> list[dict[str, Any]]:
        return self.record.metrics(int(self.record.values.argmax()))
