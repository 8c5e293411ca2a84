"""Which nodes of a fleet a model's requests go to."""

from __future__ import annotations

import bisect
import math
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Final

#: Places of a node on the ring: more even out the shares of nodes.
_PLACES: Final = 100


class Placement(ABC):
    """Chooses a node for each request."""

    title: str

    @abstractmethod
    def choose(self, model: int, running: Sequence[int]) -> int:
        """Return the node for a request. `running`: how many each node has now; below 0 for one that is gone."""


class AnyNode(Placement):
    """Whatever node comes: what a load balancer does that knows nothing of models."""

    title = "any node"

    def __init__(self, nodes: int, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self._nodes = nodes

    def choose(self, model: int, running: Sequence[int]) -> int:
        while True:
            node = self._random.randrange(self._nodes)
            if running[node] >= 0:
                return node


class Hashing(Placement):
    """Consistent hashing: a model has one node, and keeps it when others come and go."""

    title = "hashing"

    def __init__(self, nodes: int) -> None:
        places = sorted(
            (_hash(f"n{node}/{p}"), node) for node in range(nodes) for p in range(_PLACES)
        )
        self._hashes = [found for found, _ in places]
        self._owners = [node for _, node in places]
        self._orders: dict[int, _Order] = {}

    def _most(self, running: Sequence[int]) -> float:
        """How many requests a node may have to be given one more."""
        return math.inf

    def choose(self, model: int, running: Sequence[int]) -> int:
        most = self._most(running)
        order = self._orders.get(model)
        if order is None:
            at = bisect.bisect(self._hashes, _hash(f"m{model}"))
            order = self._orders[model] = _Order(self._owners, at)
        for node in order:
            if 0 <= running[node] < most:
                return node
        raise ValueError("no node is left")


class _Order:
    """The nodes of a ring from a place on, each once, found as far as anybody has asked."""

    def __init__(self, owners: Sequence[int], at: int) -> None:
        self._owners = owners
        self._places = iter(range(at, at + len(owners)))
        self._found: list[int] = []
        self._known: set[int] = set()

    def __iter__(self) -> Iterator[int]:
        yield from self._found
        for place in self._places:
            node = self._owners[place % len(self._owners)]
            if node not in self._known:
                self._known.add(node)
                self._found.append(node)
                yield node


class BoundedHashing(Hashing):
    """Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam): a node that has a quarter more than its
    share passes on to the next one of the ring, so that a model that is asked much spreads as far as it needs."""

    title = "hashing, bounded loads"

    def __init__(self, nodes: int, slack: float = 1.25) -> None:
        super().__init__(nodes)
        self._slack = slack
        self._total = 0
        self._alive = nodes

    def note(self, change: int, alive: int) -> None:
        """So many requests have come (or gone, below 0); so many nodes are there."""
        self._total += change
        self._alive = alive

    def _most(self, running: Sequence[int]) -> float:
        return math.ceil(self._slack * (self._total + 1) / self._alive)


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
