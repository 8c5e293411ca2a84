"""The tables of the page: one per cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.cells import GOALS_MS, Cell
from benchmarks.goals import OWN
from benchmarks.on_demand import MEMORY_AT
from benchmarks.peers.peer import Peer
from benchmarks.records import Records
from benchmarks.statistics import Summary, ratio
from benchmarks.visits import SCALE_TO

RATE = "requests_per_s"
_TRAFFIC = (
    *("hits", "hit_p50_ms", "hit_p99_ms", "misses", "miss_p50_ms", "miss_p99_ms"),
    *("errors", "unavailable", "hot_models", "peak_mib"),
)


def cell_table(cell: Cell, records: Records, peers: Mapping[str, Peer]) -> str:
    writer = {
        "start": _start_table,
        "scale": _scale_table,
        "million": _million_table,
        "cold": _cold_table,
        "memory": _memory_table,
        "traffic": _traffic_table,
        "goals": _goals_table,
    }
    return writer.get(cell.kind, _load_table)(cell, records, peers)


def _load_table(cell: Cell, records: Records, peers: Mapping[str, Peer]) -> str:
    ours = records.summary(cell.name, OWN, RATE)
    ranked = []
    for name in records.peers_of(cell.name):
        rate = _known(records.summary(cell.name, name, RATE))
        errors = sum(records.values(cell.name, name, "errors"))
        row = [
            title_of(name, peers),
            f"{rate.median:,.0f}",
            _spread(rate),
            *(_milliseconds(records.summary(cell.name, name, f"p{n}_ms")) for n in (50, 99)),
            _processor_time(cell.name, name, records),
            f"{errors:,.0f}",
            "" if ours is None or name == OWN else f"{ratio(ours, rate):.2f} x",
        ]
        ranked.append((rate.median, bold(row) if name == OWN else row))
    ranked.sort(key=lambda pair: -pair[0])
    head = ["server", "requests/s", "spread", "p50 ms", "p99 ms", "processor µs", "errors"]
    return table([*head, "ours against it"], [row for _, row in ranked])


def _goals_table(cell: Cell, records: Records, peers: Mapping[str, Peer]) -> str:
    first = f"rate_{GOALS_MS[0]}ms"
    ours = records.summary(cell.name, OWN, first)
    ranked = []
    for name in records.peers_of(cell.name):
        row = [title_of(name, peers)]
        for goal_ms in GOALS_MS:
            rate = _known(records.summary(cell.name, name, f"rate_{goal_ms}ms"))
            half = records.summary(cell.name, name, f"half_p99_{goal_ms}ms")
            row += [f"{rate.median:,.0f}", _spread(rate), _milliseconds(half)]
        capacity = _known(records.summary(cell.name, name, "capacity_per_s"))
        row += [f"{capacity.median:,.0f}", _processor_time(cell.name, name, records)]
        rate = _known(records.summary(cell.name, name, first))
        row.append("" if ours is None or name == OWN else f"{ratio(ours, rate):.2f} x")
        ranked.append((rate.median, bold(row) if name == OWN else row))
    ranked.sort(key=lambda pair: -pair[0])
    head = ["server"]
    for goal_ms in GOALS_MS:
        head += [f"requests/s, p99 up to {goal_ms} ms", "spread", "p99 ms at half of it"]
    head += ["64 clients in a loop, requests/s", "processor µs", "ours against it"]
    return table(head, [row for _, row in ranked])


def _processor_time(cell: str, peer: str, records: Records) -> str:
    """Return the time per request, for front and worker apart where they are known apart."""
    texts = []
    for role in ("front", "worker", "server"):
        summary = records.summary(cell, peer, f"processor_us_{role}")
        if summary is not None:
            texts.append(f"{summary.median:,.1f}")
    return " + ".join(texts)


def _start_table(cell: Cell, records: Records, peers: Mapping[str, Peer]) -> str:
    ours = records.summary(cell.name, OWN, "start_s")
    ranked = []
    for name in records.peers_of(cell.name):
        start = _known(records.summary(cell.name, name, "start_s"))
        rss, pss, count = (
            _known(records.summary(cell.name, name, figure)).median
            for figure in ("rss_mib", "pss_mib", "processes")
        )
        row = [
            title_of(name, peers),
            f"{start.median:.2f}",
            _spread(start),
            f"{pss:,.0f}",
            f"{rss:,.0f}",
            f"{count:.0f}",
            "" if ours is None or name == OWN else _faster(ratio(start, ours)),
        ]
        ranked.append((start.median, bold(row) if name == OWN else row))
    ranked.sort(key=lambda pair: pair[0])
    head = ["server", "first answer, s", "spread", "PSS MiB", "RSS MiB", "processes", "ours"]
    text = table(head, [row for _, row in ranked])
    front, worker = (
        records.summary(cell.name, OWN, f"rss_mib_{role}") for role in ("front", "worker")
    )
    if front is not None and worker is not None:
        text += f"\nOurs: RSS of the front {front.median:.1f} MiB, of the worker {worker.median:.1f} MiB.\n"
    return text


def _faster(times: float) -> str:
    return f"{times:.2f} x faster" if times >= 1 else f"{1 / times:.2f} x slower"


def _scale_table(cell: Cell, records: Records, peers: Mapping[str, Peer]) -> str:
    rows = []
    for name in records.peers_of(cell.name):
        summary = _known(records.summary(cell.name, name, "scale_s"))
        row = [title_of(name, peers), f"{summary.median:.2f}", _spread(summary)]
        rows.append(bold(row) if name == OWN else row)
    return table(["server", f"1 to {SCALE_TO} workers, s", "spread"], rows)


def _million_table(cell: Cell, records: Records, peers: Mapping[str, Peer]) -> str:
    figures = ("first_mib", "last_mib", "growth_mib", "highest_mib")
    rows = []
    for name in records.peers_of(cell.name):
        summaries = [_known(records.summary(cell.name, name, figure)) for figure in figures]
        rows.append([title_of(name, peers), *(f"{summary.median:.2f}" for summary in summaries)])
    head = ["server", "after the first 100,000, MiB", "at the end, MiB", "growth", "highest"]
    return table(head, rows)


def _cold_table(cell: Cell, records: Records, peers: Mapping[str, Peer]) -> str:
    head = ["server", "median, ms", "spread", "longest, ms", "processor, ms", "ours against it"]
    return _ranked(cell, records, peers, head, ("cold_p50_ms", "cold_max_ms", "processor_ms"))


def _memory_table(cell: Cell, records: Records, peers: Mapping[str, Peer]) -> str:
    counts = (0, *MEMORY_AT)
    head = ["server", "one more model, MiB", "spread"]
    head += [f"{count} models" if count else "none" for count in counts]
    figures = ("mib_per_model", *(f"mib_at_{count}" for count in counts))
    return _ranked(cell, records, peers, [*head, "ours against it"], figures)


def _ranked(
    cell: Cell,
    records: Records,
    peers: Mapping[str, Peer],
    head: Sequence[str],
    figures: Sequence[str],
) -> str:
    """Return servers by the first figure, of which less is better; its spread follows it."""
    ours = records.summary(cell.name, OWN, figures[0])
    ranked = []
    for name in records.peers_of(cell.name):
        first, *others = [_known(records.summary(cell.name, name, figure)) for figure in figures]
        row = [title_of(name, peers), f"{first.median:,.3g}", _spread(first)]
        row += [f"{summary.median:,.0f}" for summary in others]
        against = "" if ours is None or name == OWN else f"{ratio(first, ours):.2f} x"
        ranked.append((first.median, [*(bold(row) if name == OWN else row), against]))
    return table(head, [row for _, row in sorted(ranked, key=lambda pair: pair[0])])


def _traffic_table(cell: Cell, records: Records, peers: Mapping[str, Peer]) -> str:
    rows = []
    for name in records.peers_of(cell.name):
        row = [title_of(name, peers)]
        for figure in _TRAFFIC:
            summary = records.summary(cell.name, name, figure)
            row.append("–" if summary is None else _short(summary.median))
        rows.append(bold(row) if name == OWN else row)
    head = ["server", "hits", "p50 ms", "p99 ms", "misses", "p50 ms", "p99 ms"]
    return table([*head, "errors", "503", "loaded at the end", "most memory, MiB"], rows)


def title_of(name: str, peers: Mapping[str, Peer]) -> str:
    return peers[name].title if name in peers else name


def _known(summary: Summary | None) -> Summary:
    if summary is None:
        raise ValueError("a visit with figures lacks one that all visits of its kind have")
    return summary


def _milliseconds(summary: Summary | None) -> str:
    return "–" if summary is None else f"{summary.median:.3g}"


def _spread(summary: Summary) -> str:
    """One round says nothing of it."""
    return f"{summary.spread:.0%}" if summary.rounds > 1 else "–"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def bold(row: Sequence[str]) -> list[str]:
    return [f"**{text}**" if text else "" for text in row]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose first column is aligned left, the rest right."""
    lines = [
        "| " + " | ".join(head) + " |",
        "|---|" + "---:|" * (len(head) - 1),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"
