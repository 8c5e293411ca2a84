"""What a router knows of its branches: how often each was tried, and how often that was a success."""

from __future__ import annotations

from typing import Any

import numpy as np


class BranchRecord:
    """Tries and successes by branch, learned from feedback. A try is a row of a request."""

    def __init__(self, n_branches: int | None, branch_names: str | None) -> None:
        """`branch_names`: one for each branch, with colons between them; for people."""
        if n_branches is None:
            raise TypeError("n_branches is required: how many children the router has")
        self.n_branches = int(n_branches)
        assert self.n_branches > 0, f"n_branches must be 1 or more, not {n_branches}"
        numbers = [str(branch) for branch in range(self.n_branches)]
        self.names = branch_names.split(":") if branch_names else numbers
        assert len(self.names) == self.n_branches, (
            f"branch_names has {len(self.names)} names for {n_branches} branches"
        )
        self.successes = np.zeros(self.n_branches)
        self.tries = np.zeros(self.n_branches)

    def add(self, branch: int | None, features: Any, reward: float) -> None:
        """`reward`: the share of the rows that were a success, 0 to 1. Feedback without a routing teaches nothing."""
        if branch is None or not 0 <= branch < self.n_branches:
            return
        rows = max(np.atleast_2d(np.asarray(features)).shape[0], 1)
        self.successes[branch] += min(int(reward * rows + 0.5), rows)
        self.tries[branch] += rows

    @property
    def values(self) -> np.ndarray:
        """The share of successes; 0 for a branch without a try."""
        return np.divide(
            self.successes, self.tries, out=np.zeros(self.n_branches), where=self.tries > 0
        )

    def metrics(self, best: int) -> list[dict[str, Any]]:
        """Gauges of Seldon's form, one of each branch."""
        gauges = [
            {
                "type": "GAUGE",
                "key": "branch_success_rate",
                "value": float(value),
                "tags": {"branch": name},
            }
            for name, value in zip(self.names, self.values, strict=True)
        ]
        return [*gauges, {"type": "GAUGE", "key": "best_branch", "value": best}]
