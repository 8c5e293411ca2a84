"""The head of the page: real models under a latency goal, all servers side by side."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, log

from benchmarks.cells import FIXED_SIZES, GOALS_MS, REAL_MODELS, fixed_cell
from benchmarks.goals import OWN
from benchmarks.peers.peer import Peer
from benchmarks.records import Records
from benchmarks.tables import bold, table, title_of

_MEANING = """The highest rate of independent requests, in requests/s, at which 99 of 100 are answered within the goal.
In brackets: how many times as much this server answers. Each server has two workers.
"""


def headline(records: Records, peers: Mapping[str, Peer]) -> str:
    """Return the section, or nothing where no real model has been measured."""
    if not any(records.peers_of(f"real-{kind}") for kind, _ in REAL_MODELS):
        return ""
    parts = [f"## Real models\n\n{_MEANING}"]
    for goal_ms in GOALS_MS:
        parts += [f"### Within {goal_ms} ms\n", _servers_table(goal_ms, records, peers)]
    parts += ["### Without tuning\n", _fixed_table(records)]
    return "\n".join(parts)


def _servers_table(goal_ms: int, records: Records, peers: Mapping[str, Peer]) -> str:
    figure = f"rate_{goal_ms}ms"
    names = dict.fromkeys(
        name for kind, _ in REAL_MODELS for name in records.peers_of(f"real-{kind}")
    )
    ranked = []
    for name in names:
        row, ratios = [title_of(name, peers)], []
        for kind, _ in REAL_MODELS:
            ours, rate = (records.median(f"real-{kind}", each, figure) for each in (OWN, name))
            if rate is None:
                row.append("–")
            elif name == OWN or ours is None or not rate:
                row.append(f"{rate:,.0f}")
            else:
                row.append(f"{rate:,.0f} ({ours / rate:.2f} x)")
                ratios.append(rate / ours)
        mean = exp(sum(map(log, ratios)) / len(ratios)) if ratios else float(name == OWN)
        ranked.append((mean, bold(row) if name == OWN else row))
    ranked.sort(key=lambda pair: -pair[0])
    return table(["server", *(_short(what) for _, what in REAL_MODELS)], [row for _, row in ranked])


def _fixed_table(records: Records) -> str:
    """Set what this server does by itself beside the best of the settings that somebody could have found."""
    rows = []
    for kind, what in REAL_MODELS:
        row = [_short(what)]
        for goal_ms in GOALS_MS:
            figure = f"rate_{goal_ms}ms"
            adaptive = records.median(f"real-{kind}", OWN, figure)
            fixed = [
                (rate, batch_size)
                for batch_size in FIXED_SIZES
                if (rate := records.median(fixed_cell(kind, batch_size), OWN, figure)) is not None
            ]
            if adaptive is None or not fixed or not max(fixed)[0]:
                row += ["–", "–", "–"]
                continue
            rate, batch_size = max(fixed)
            row += [f"{adaptive:,.0f}", f"{rate:,.0f} (batch {batch_size})"]
            row.append(f"{adaptive / rate:.2f} x")
        rows.append(row)
    head = ["model"]
    for goal_ms in GOALS_MS:
        head += [f"adaptive, {goal_ms} ms", "best fixed", "ratio"]
    return table(head, rows)


def _short(what: str) -> str:
    return what.partition(" (")[0]
