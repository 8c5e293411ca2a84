"""The page of a fleet's behaviour, Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.scale.formulas import Fleet
from benchmarks.scale.simulation import Outcome

#: In seconds. The busiest node of a short run may be so by chance.
_LATE_S = 1.0


def page(
    placed: Mapping[tuple[float, int, str], Outcome],
    storms: Mapping[tuple[float, str], Outcome],
    waits: Sequence[tuple[float, float, float]],
    missed: float,
    sizes: Sequence[int],
    placements: Sequence[str],
    loads_s: Sequence[float],
    lost: float,
) -> str:
    """`waits`: utilisation, mean wait by formula and as simulated; `missed`: misses on any node, by formula."""
    fleet = Fleet(1)
    most_s = f"{1 / fleet.front_s:,.0f} requests/s"
    loads = " or ".join(f"{load_s * 1000:.0f} ms" for load_s in loads_s)
    lost_rows = [
        (_ms(load_s), title, f"{o.miss_share:.2%}", _ms(o.percentile(0.5)), _ms(o.percentile(0.99)))
        for (load_s, title), o in storms.items()
    ]
    return f"""\
# Toward many machines, on paper

<!-- Made by `python -m benchmarks.scale`, which simulates what this page shows. -->

What saturates first when one server becomes ten, a hundred, a thousand, with ten thousand models of which a few are
asked all the time? Nothing on this page was
measured on a fleet. It has formulas, and a simulation (SimPy, `benchmarks/scale/`) that they are checked against.
What one machine does is [measured](benchmarks.md), and so are the figures of one server that the model takes over.

## The model

| | |
|---|---|
| a node | {fleet.cores} cores that answer, a front before them |
| the front | {fleet.front_s * 1e6:.0f} us a request, about what [batch 1](performance.md) takes: full at {most_s} |
| an answer | {fleet.service_s * 1000:.0f} ms of a core on the average, exponential |
| a network hop | {fleet.hop_s * 1e6:.0f} microseconds, there and back again as much |
| models | {fleet.models:,}, by Zipf's law with exponent {fleet.zipf:g}: the first gets a tenth of all requests |
| memory | {fleet.hot} loaded models on each node, those used last, as with [`memory_limit`](many-models.md) |
| a load | {loads} of a core: a small function, or a model with weights |
| load | {fleet.utilisation:.0%} of the cores' time for answers: {fleet.rate_per_node:.0f} requests/s for each node |

## Waiting on one node

The mean wait of a request before one of {fleet.cores} cores is free, by Erlang's formula for M/M/c, and as
simulated:

| cores busy | formula | simulated |
|---|---|---|
{_rows((f"{u:.0%}", _ms(formula), _ms(seen)) for u, formula, seen in waits)}

At 70 % nobody notices; at 90 % the wait is a large part of the answer's own time. So `scale_target` and the
autoscaler of the [chart](kubernetes.md) look at the wait in the queue and not at
the processor.

## Where a model's requests go

Three ways to choose a node: any; [consistent hashing](https://en.wikipedia.org/wiki/Consistent_hashing) by the
model's name; and the same with
[bounded loads](https://arxiv.org/abs/1608.01350), where a node that has a quarter more than its share of the
running requests passes on to the next one.

{_tables(placed, sizes, placements, loads_s)}

*Cores needed* are those of a node on the average, for answers and loads; it has 8. *Grows*: more work
comes to all nodes, or to the busiest one, than their cores can do. For any node the
formula (Che's approximation of a cache that keeps what was used
last) says {missed:.1%} misses, whatever the number of nodes; the tables show the same.

![Misses by nodes](scale/misses.svg)

![p99 by nodes](scale/p99.svg)

![The busiest node](scale/imbalance.svg)

What this says:

- **Memory saturates first, and not the front.** At {fleet.rate_per_node:.0f} requests a second a front is busy for
  {fleet.rate_per_node * fleet.front_s:.1%} of its time. A load balancer that knows nothing of
  models makes each node a cache of all models. A miss costs a load, and loads eat the cores that answers need.
- **Hashing makes one memory of all.** Each model is loaded once in the fleet. From about as many nodes as hold all
  models nearly nothing is loaded any more.
- **Then the most popular model saturates its node.** With a hundred nodes it alone brings a node ten times its
  share. Bounded loads spread it over as many nodes as it needs, for a few more loads.

## When nodes go

{lost:.0%} of a hundred nodes end at once, and their models move. The latencies of what comes in the seconds after that:

| a load | placement | misses | p50 | p99 |
|---|---|---|---|---|
{_rows(lost_rows)}

Loads come all at once, and each takes a core. What helps: a load waits for its turn
(here they share the cores with answers), workers are forked from a process that has the libraries
([fork server](many-models.md)), and a request has a deadline, so that nobody waits for what he has given up.

## What is full when

| part | cost | ten nodes | a hundred | a thousand |
|---|---|---|---|---|
{_parts(fleet)}

## What changes at each step

1. **One machine.** One front, `memory_limit`, models [loaded on demand](many-models.md). Nothing else.
2. **Ten nodes.** Replicas behind a load balancer with the same models
   ([`models_file`](many-models.md#a-file-that-says-which-models-are-to-be-there), the chart). As long as the models
   that are asked fit into the memory of *one* node, any
node will do. Otherwise the balancer has to hash by the model's name, which is in the path: nginx `hash $uri
consistent`, Envoy's `RING_HASH`, HAProxy `balance uri`, with their bounds on load
   (Envoy: `hash_balance_factor: 125`).
3. **A hundred.** Bounded loads are no longer optional. Archives come from an object store, each once per node that
   has the model.
4. **A thousand.** Fleets of a hundred, each with its own share of the models, and a directory of which fleet has
   which model before them. Metrics are added up
   in each fleet: ten thousand models on a thousand nodes are more series than one Prometheus holds.

What this server does not have: a balancer of its own, a directory of fleets, loads that are copied from a
neighbour's memory.
"""


def _rows(rows: object) -> str:
    assert hasattr(rows, "__iter__")
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.2f} ms" if seconds < 0.01 else f"{seconds * 1000:,.0f} ms"


def _tables(
    placed: Mapping[tuple[float, int, str], Outcome],
    sizes: Sequence[int],
    placements: Sequence[str],
    loads_s: Sequence[float],
) -> str:
    tables = []
    for load_s in loads_s:
        rows = []
        for nodes in sizes:
            for title in placements:
                outcome = placed[load_s, nodes, title]
                fleet = Fleet(nodes, load_s=load_s)
                needed = fleet.cores_needed(outcome.miss_share)
                times = (_ms(outcome.percentile(0.5)), _ms(outcome.percentile(0.99)))
                is_late = outcome.percentile(0.99) > _LATE_S
                if needed > fleet.cores or (is_late and needed * outcome.imbalance > fleet.cores):
                    times = ("grows", "grows")
                rows.append(
                    (
                        f"{nodes:,}",
                        title,
                        f"{outcome.miss_share:.2%}",
                        f"{needed:.1f}",
                        *times,
                        f"{outcome.imbalance:.2f} x",
                    )
                )
        tables.append(
            f"Loads of {load_s * 1000:.0f} ms:\n\n"
            "| nodes | placement | misses | cores needed | p50 | p99 | busiest node |\n|---|---|---|---|---|---|---|\n"
            + _rows(rows)
        )
    return "\n\n".join(tables)


def _parts(fleet: Fleet) -> str:
    sizes = (10, 100, 1000)
    fronts = [f"{fleet.rate_per_node * fleet.front_s:.1%} of each" for _ in sizes]
    balancers = [f"{fleet.rate_per_node * n / 50_000:.1f} cores" for n in sizes]
    # A model's series are about forty lines of 100 bytes; on each node that has it.
    series = [f"{min(fleet.models, fleet.hot * n) * 40:,} series" for n in sizes]
    archives = [f"{min(n * fleet.hot, fleet.models) * 0.1:,.0f} GB once" for n in sizes]
    rows = [
        ("front", f"{fleet.front_s * 1e6:.0f} us a request", *fronts),
        ("balancer", "20 us a request, as a guess", *balancers),
        ("metrics", "40 series a loaded model", *series),
        ("object store", "100 MB an archive", *archives),
        ("change of a model", "one message a node", *(f"{n:,} messages" for n in sizes)),
    ]
    return _rows(rows)
