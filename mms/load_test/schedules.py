"""When requests are due."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator


class Schedule(ABC):
    """Says when requests are due, in seconds from the start."""

    @abstractmethod
    def times(self) -> Iterator[float]:
        """Yield the times, in order and without an end."""


class _Arrivals(Schedule):
    def __init__(self, rate: float) -> None:
        """`rate`: requests a second."""
        if not 0 < rate < float("inf"):
            raise ValueError(f"A rate is more than 0 requests a second, not {rate:g}")
        self.rate = rate

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.rate:g})"


class ConstantArrivals(_Arrivals):
    """Requests that are due at equal distances."""

    def times(self) -> Iterator[float]:
        number = 0
        while True:
            yield number / self.rate
            number += 1


class PoissonArrivals(_Arrivals):
    """Requests that come as those of many clients who do not know of each other: the gaps are exponential."""

    def __init__(self, rate: float, seed: int = 1) -> None:
        """The same `seed` gives the same times."""
        super().__init__(rate)
        self.seed = seed

    def times(self) -> Iterator[float]:
        generator = random.Random(self.seed)
        due_s = 0.0
        while True:
            due_s += generator.expovariate(self.rate)
            yield due_s


class ClosedLoop(Schedule):
    """Each of so many clients asks again when it has its answer. It measures throughput; its latencies flatter."""

    def __init__(self, clients: int) -> None:
        if clients < 1:
            raise ValueError(f"There is at least one client, not {clients}")
        self.clients = clients

    def __repr__(self) -> str:
        return f"ClosedLoop({self.clients})"

    def times(self) -> Iterator[float]:
        """Yield the starts of the clients; all later requests are due at the answer before."""
        for _ in range(self.clients):
            yield 0.0
