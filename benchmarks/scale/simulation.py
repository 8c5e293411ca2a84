"""A fleet, request by request (SimPy)."""

from __future__ import annotations

import itertools
import random
from collections import OrderedDict
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import simpy

from benchmarks.scale.formulas import Fleet, popularity
from benchmarks.scale.placement import BoundedHashing, Placement

#: Requests per place in memory, by which nodes are filled before the clock starts.
_FILLING = 20


@dataclass
class Outcome:
    """What was seen. Latencies in seconds, sorted, of requests that came after the loss of nodes, if there was one."""

    latencies: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    requests: int = 0
    loads: int = 0
    #: Requests of the node that got most, against the mean.
    imbalance: float = 0.0

    @property
    def miss_share(self) -> float:
        return self.loads / self.requests if self.requests else 0.0

    def percentile(self, share: float) -> float:
        return self.latencies[min(int(share * len(self.latencies)), len(self.latencies) - 1)]


class _Node:
    def __init__(self, environment: simpy.Environment, fleet: Fleet) -> None:
        self.cores = simpy.Resource(environment, fleet.cores)
        #: Loaded models, the one used last at the end; with what to wait for while they load.
        self.models: OrderedDict[int, simpy.Event | None] = OrderedDict()
        self.requests = 0


def simulate(
    fleet: Fleet, placement: Placement, duration_s: float, *, seed: int = 1, lost: float = 0.0
) -> Outcome:
    """Serve requests for so long. `lost`: share of the nodes that go, at once, half-way."""
    environment = simpy.Environment()
    chance = random.Random(seed)
    nodes = [_Node(environment, fleet) for _ in range(fleet.nodes)]
    running = [0] * fleet.nodes
    cumulative = list(itertools.accumulate(popularity(fleet.models, fleet.zipf)))
    models = range(fleet.models)
    outcome = Outcome()
    bounded = placement if isinstance(placement, BoundedHashing) else None
    alive = fleet.nodes

    def note(change: int) -> None:
        if bounded is not None:
            bounded.note(change, alive)

    def draw() -> int:
        return chance.choices(models, cum_weights=cumulative)[0]

    def use(node: _Node, model: int) -> bool:
        """Return whether a node has a model, which is the one that it has used last now."""
        is_there = model in node.models
        if is_there:
            node.models.move_to_end(model)
        else:
            node.models[model] = None
            if len(node.models) > fleet.hot:
                node.models.popitem(last=False)
        return is_there

    def request(model: int, is_counted: bool) -> Generator[simpy.Event, Any, None]:
        came_at = environment.now
        number = placement.choose(model, running)
        node = nodes[number]
        running[number] += 1
        node.requests += 1
        note(1)
        yield environment.timeout(fleet.hop_s + fleet.front_s)
        if not use(node, model):
            outcome.loads += is_counted
            loaded = node.models[model] = environment.event()
            with node.cores.request() as turn:
                yield turn
                yield environment.timeout(fleet.load_s)
            if model in node.models:
                node.models[model] = None
            loaded.succeed()
        else:
            loading = node.models[model]
            if loading is not None:
                yield loading
        waits_from = environment.now
        with node.cores.request() as turn:
            yield turn
            waited = environment.now - waits_from
            yield environment.timeout(chance.expovariate(1 / fleet.service_s))
        if running[number] >= 0:
            running[number] -= 1
        note(-1)
        if is_counted:
            outcome.requests += 1
            outcome.waits.append(waited)
            outcome.latencies.append(environment.now - came_at + fleet.hop_s)

    def arrivals() -> Generator[simpy.Event, Any, None]:
        nonlocal alive
        is_whole = not lost
        while environment.now < duration_s:
            yield environment.timeout(chance.expovariate(fleet.rate))
            if not is_whole and environment.now >= duration_s / 2:
                is_whole = True
                gone = chance.sample(range(fleet.nodes), round(fleet.nodes * lost))
                for number in gone:
                    running[number] = -1
                alive -= len(gone)
            environment.process(request(draw(), not lost or environment.now >= duration_s / 2))

    # Nodes are filled by the requests that they would have had; each is there for as long as its answer would take.
    busy: list[int] = []
    for _ in range(_FILLING * fleet.hot * fleet.nodes // max(fleet.nodes // 100, 1)):
        model = draw()
        number = placement.choose(model, running)
        use(nodes[number], model)
        running[number] += 1
        note(1)
        busy.append(number)
        if len(busy) > fleet.cores * fleet.utilisation * fleet.nodes:
            running[busy.pop(0)] -= 1
            note(-1)
    for number in busy:
        running[number] -= 1
        note(-1)
    environment.process(arrivals())
    environment.run()
    outcome.latencies.sort()
    counts = [node.requests for node in nodes]
    outcome.imbalance = max(counts) / (sum(counts) / len(counts))
    return outcome
