"""`python -m benchmarks.scale`: simulates fleets of 10, 100 and 1,000 nodes, and writes docs/scale.md with its charts.

It takes about ten minutes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.charts import Line, line_chart
from benchmarks.scale.formulas import Fleet, mean_wait_s, misses_anywhere, popularity
from benchmarks.scale.page import page
from benchmarks.scale.placement import AnyNode, BoundedHashing, Hashing, Placement
from benchmarks.scale.simulation import Outcome, simulate

_DOCS = Path(__file__).resolve().parents[2] / "docs"
#: Nodes -> simulated seconds: about as many requests in each.
_SIZES = {10: 20.0, 100: 3.0, 1000: 0.6}
_PLACEMENTS: dict[str, Callable[[int], Placement]] = {
    each.title: each for each in (AnyNode, Hashing, BoundedHashing)
}
_LOADS_S = (0.05, 0.5)
_LOST = 0.1
_STORM_NODES = 100


def main() -> None:
    placed: dict[tuple[float, int, str], Outcome] = {}
    for load_s in _LOADS_S:
        for nodes, duration_s in _SIZES.items():
            for title, make in _PLACEMENTS.items():
                outcome = simulate(Fleet(nodes, load_s=load_s), make(nodes), duration_s)
                placed[load_s, nodes, title] = outcome
                print(
                    f"{nodes} nodes, loads of {load_s:g} s, {title}: {outcome.miss_share:.2%} misses, "
                    f"p99 {outcome.percentile(0.99) * 1000:.0f} ms",
                    flush=True,
                )
    storms = {
        (load_s, title): simulate(
            Fleet(_STORM_NODES, load_s=load_s),
            make(_STORM_NODES),
            2 * _SIZES[_STORM_NODES],
            lost=_LOST,
        )
        for load_s in _LOADS_S
        for title, make in _PLACEMENTS.items()
        if title != AnyNode.title
    }
    waits = []
    for utilisation in (0.3, 0.5, 0.7, 0.8, 0.9):
        fleet = replace(Fleet(1, models=1), utilisation=utilisation)
        seen = simulate(fleet, AnyNode(1), 200.0).waits
        formula = mean_wait_s(fleet.cores, fleet.rate, fleet.service_s)
        waits.append((utilisation, formula, sum(seen) / len(seen)))
    fleet = Fleet(1)
    missed = misses_anywhere(popularity(fleet.models, fleet.zipf), fleet.hot)
    folder = _DOCS / "scale"
    folder.mkdir(exist_ok=True)
    for name, chart in _charts(placed).items():
        (folder / name).write_text(chart, encoding="utf-8")
    text = page(placed, storms, waits, missed, list(_SIZES), list(_PLACEMENTS), _LOADS_S, _LOST)
    (_DOCS / "scale.md").write_text(text, encoding="utf-8")


def _charts(placed: dict[tuple[float, int, str], Outcome]) -> dict[str, str]:
    def lines(figure: Callable[[Outcome], float]) -> list[Line]:
        return [
            Line(
                title,
                tuple(
                    (float(nodes), max(figure(placed[_LOADS_S[0], nodes, title]), 1e-9))
                    for nodes in _SIZES
                ),
            )
            for title in _PLACEMENTS
        ]

    told = f"10,000 models, Zipf 1.0, loads of {_LOADS_S[0] * 1000:.0f} ms"
    return {
        "misses.svg": line_chart(
            "Requests that find no loaded model, %",
            told,
            lines(lambda o: o.miss_share * 100),
            "nodes",
        ),
        "p99.svg": line_chart(
            "99 of 100 answers within, ms",
            told,
            lines(lambda o: min(o.percentile(0.99) * 1000, 1000)),
            "nodes (1,000 ms stands for more)",
        ),
        "imbalance.svg": line_chart(
            "Requests of the busiest node against the mean",
            told,
            lines(lambda o: math.ceil(o.imbalance * 100) / 100),
            "nodes",
        ),
    }


if __name__ == "__main__":
    main()
