"""What a fleet costs and how long its requests wait, by formulas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Fleet:
    """A fleet and what it serves. Times in seconds.

    `cores`: requests that a node works on at one time; `hot`: models that fit into its memory; `front_s`: what its
    front takes for a request; `load_s`: what a model takes until it can answer; `zipf`: exponent of the models'
    popularity.
    """

    nodes: int
    models: int = 10_000
    cores: int = 8
    hot: int = 200
    service_s: float = 0.020
    front_s: float = 20e-6
    hop_s: float = 200e-6
    load_s: float = 0.5
    zipf: float = 1.0
    #: Share of the cores' time that answers take.
    utilisation: float = 0.6

    @property
    def rate_per_node(self) -> float:
        return self.utilisation * self.cores / self.service_s

    def cores_needed(self, miss_share: float) -> float:
        """Return how many cores of a node answers and loads take on the average."""
        return self.rate_per_node * (self.service_s + miss_share * self.load_s)

    @property
    def rate(self) -> float:
        return self.rate_per_node * self.nodes


def erlang_c(servers: int, load: float) -> float:
    """Return the chance that a request has to wait (M/M/c). `load`: mean number of busy servers."""
    if load >= servers:
        return 1.0
    blocked = 1.0
    for number in range(1, servers + 1):
        blocked = load * blocked / (number + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


def mean_wait_s(servers: int, rate: float, service_s: float) -> float:
    """Return the mean wait before service (M/M/c); infinite where more comes than goes."""
    load = rate * service_s
    if load >= servers:
        return math.inf
    return erlang_c(servers, load) * service_s / (servers - load)


def popularity(models: int, exponent: float) -> list[float]:
    """Return the share of requests of each model, the most popular first."""
    weights = [1 / number**exponent for number in range(1, models + 1)]
    total = sum(weights)
    return [weight / total for weight in weights]


def misses_anywhere(shares: Sequence[float], hot: int) -> float:
    """Return the share of requests that find no loaded model on a node that gets those of all models.

    It keeps the models that were used last (Che's approximation).
    """
    low, high = 0.0, 1e12
    for _ in range(200):
        middle = (low * high) ** 0.5 if low else high / 2
        kept = sum(1 - math.exp(-share * middle) for share in shares)
        low, high = (middle, high) if kept < hot else (low, middle)
        low = low or 1e-9
    return sum(share * math.exp(-share * low) for share in shares)
