"""Writes `benchmarks.md` and its charts from the records of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.cells import Cell, all_cells, groups
from benchmarks.charts import Bar, Line, bar_chart, line_chart
from benchmarks.deployment import BODY_LIMIT_BYTES, QUEUE_CAPACITY
from benchmarks.goals import GOALS, OWN
from benchmarks.peers.peer import Peer
from benchmarks.records import Records
from benchmarks.statistics import Summary, ratio
from benchmarks.visits import SCALE_TO

CHARTS_FOLDER = "benchmarks"
_QUIET_MACHINE_CORES = 0.15
_RATE = "requests_per_s"


def write_report(records: Records, peers: Mapping[str, Peer], target: Path) -> None:
    """The page goes to `target`, the charts into the folder `benchmarks` beside it."""
    folder = target.parent / CHARTS_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    charts = _charts(records, peers)
    for name, (_, svg) in charts.items():
        (folder / name).write_text(svg, encoding="utf-8")
    target.write_text(page(records, peers, charts), encoding="utf-8")


def page(records: Records, peers: Mapping[str, Peer], charts: Mapping[str, tuple[str, str]]) -> str:
    sections = [
        _introduction(records),
        _servers(records, peers),
        _goals(records),
        "\n".join(f"![{alt}]({CHARTS_FOLDER}/{name})\n" for name, (alt, _) in charts.items()),
        *(
            _group(name, cells, records, peers)
            for name, cells in groups(all_cells()).items()
            if any(_is_shown(cell, records) for cell in cells)
        ),
        _losses(records, peers),
        _absentees(records, peers),
        _method(records),
    ]
    return "\n".join(section for section in sections if section)


def _is_shown(cell: Cell, records: Records) -> bool:
    return bool(records.peers_of(cell.name))


def _introduction(records: Records) -> str:
    header = records.header
    machine = "\n".join(f"- {key}: {text}" for key, text in header.get("machine", {}).items())
    return f"""# Benchmarks

Written by `./scripts/bench`; do not edit. Measured {header.get("date", "?")} at commit \
{header.get("commit", "?")}, {header.get("rounds", "?")} interleaved rounds of \
{header.get("duration_s", "?")} s each, medians. How to read and repeat it: [method](#method).

{machine}
- load: {header.get("generator", "?")}, one thread, on the same machine
"""


def _servers(records: Records, peers: Mapping[str, Peer]) -> str:
    versions = records.header.get("versions", {})
    rows = [
        [peer.title, versions[name], peer.front, peer.note or "bodies of plain bytes"]
        for name, peer in peers.items()
        if name in versions
    ]
    return "## Servers\n\n" + _table(["server", "version", "front", "request"], rows)


def _goals(records: Records) -> str:
    titles = {cell.name: cell.title for cell in all_cells()}
    rows = []
    for goal in GOALS:
        value = goal.measure(records)
        verdict = goal.verdict(value)
        shown = "–" if value is None else f"{value:.2f}{goal.unit}"
        mark = f"**{verdict}**" if verdict == "missed" else verdict
        rows.append([titles[goal.cell], goal.text, goal.wanted(), shown, mark])
    head = ["cell", "figure", "wanted", "measured", ""]
    return "## Goals\n\n" + _table(head, rows)


def _group(name: str, cells: Sequence[Cell], records: Records, peers: Mapping[str, Peer]) -> str:
    parts = [f"## {name[0].upper()}{name[1:]}\n"]
    for cell in cells:
        if not _is_shown(cell, records):
            continue
        if len(cells) > 1 or cell.title != name:
            parts.append(f"### {cell.title[0].upper()}{cell.title[1:]}\n")
        writer = {"start": _start_table, "scale": _scale_table, "million": _million_table}
        parts.append(writer.get(cell.kind, _load_table)(cell, records, peers))
    return "\n".join(parts)


def _load_table(cell: Cell, records: Records, peers: Mapping[str, Peer]) -> str:
    ours = records.summary(cell.name, OWN, _RATE)
    ranked = []
    for name in records.peers_of(cell.name):
        rate = _known(records.summary(cell.name, name, _RATE))
        errors = sum(records.values(cell.name, name, "errors"))
        row = [
            _title(name, peers),
            f"{rate.median:,.0f}",
            f"{rate.spread:.0%}",
            *(_milliseconds(records.summary(cell.name, name, f"p{n}_ms")) for n in (50, 99)),
            _processor_time(cell.name, name, records),
            f"{errors:,.0f}",
            "" if ours is None or name == OWN else f"{ratio(ours, rate):.2f} x",
        ]
        ranked.append((rate.median, _bold(row) if name == OWN else row))
    ranked.sort(key=lambda pair: -pair[0])
    head = ["server", "requests/s", "spread", "p50 ms", "p99 ms", "processor µs", "errors"]
    return _table([*head, "ours against it"], [row for _, row in ranked])


def _processor_time(cell: str, peer: str, records: Records) -> str:
    """Per request; front and worker apart where they are known apart."""
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
            _title(name, peers),
            f"{start.median:.2f}",
            f"{start.spread:.0%}",
            f"{pss:,.0f}",
            f"{rss:,.0f}",
            f"{count:.0f}",
            "" if ours is None or name == OWN else f"{1 / ratio(ours, start):.2f} x faster",
        ]
        ranked.append((start.median, _bold(row) if name == OWN else row))
    ranked.sort(key=lambda pair: pair[0])
    head = ["server", "first answer, s", "spread", "PSS MiB", "RSS MiB", "processes", "ours"]
    text = _table(head, [row for _, row in ranked])
    front, worker = (
        records.summary(cell.name, OWN, f"rss_mib_{role}") for role in ("front", "worker")
    )
    if front is not None and worker is not None:
        text += f"\nOurs: RSS of the front {front.median:.1f} MiB, of the worker {worker.median:.1f} MiB.\n"
    return text


def _scale_table(cell: Cell, records: Records, peers: Mapping[str, Peer]) -> str:
    rows = []
    for name in records.peers_of(cell.name):
        summary = _known(records.summary(cell.name, name, "scale_s"))
        row = [_title(name, peers), f"{summary.median:.2f}", f"{summary.spread:.0%}"]
        rows.append(_bold(row) if name == OWN else row)
    return _table(["server", f"1 to {SCALE_TO} workers, s", "spread"], rows)


def _million_table(cell: Cell, records: Records, peers: Mapping[str, Peer]) -> str:
    figures = ("first_mib", "last_mib", "growth_mib", "highest_mib")
    rows = []
    for name in records.peers_of(cell.name):
        summaries = [_known(records.summary(cell.name, name, figure)) for figure in figures]
        rows.append([_title(name, peers), *(f"{summary.median:.2f}" for summary in summaries)])
    head = ["server", "after the first 100,000, MiB", "at the end, MiB", "growth", "highest"]
    return _table(head, rows)


def _losses(records: Records, peers: Mapping[str, Peer]) -> str:
    lines = []
    for cell in all_cells():
        for figure, is_less_better, word in (
            (_RATE, False, "requests/s"),
            ("p50_ms", True, "ms p50"),
            ("p99_ms", True, "ms p99"),
            ("start_s", True, "s"),
            ("scale_s", True, "s"),
            ("pss_mib", True, "MiB PSS"),
        ):
            ours = records.summary(cell.name, OWN, figure)
            if ours is None:
                continue
            for name in records.peers_of(cell.name):
                theirs = records.summary(cell.name, name, figure)
                if theirs is None or name == OWN or theirs.median == ours.median:
                    continue
                if (theirs.median < ours.median) == is_less_better:
                    lines.append(
                        f"- {cell.title}: {_title(name, peers)} {theirs.median:,.4g} {word}, "
                        f"ours {ours.median:,.4g}"
                    )
    if not lines:
        return ""
    return "## Where another server is better\n\n" + "\n".join(lines) + "\n"


def _absentees(records: Records, peers: Mapping[str, Peer]) -> str:
    lines = [
        f"- {_title(name, peers)} could not run: {reason}"
        for name, reason in records.header.get("absent", {}).items()
    ]
    for cell in all_cells():
        if not _is_shown(cell, records):
            continue
        for name in peers:
            problems = records.problems(cell.name, name)
            if problems:
                first_line = problems[-1].partition("\n")[0]
                has_figures = bool(records.values(cell.name, name, _RATE))
                word = "failed a turn" if has_figures else "gave no figures"
                lines.append(f"- {_title(name, peers)} {word} in {cell.name!r}: {first_line}")
    for name, peer in peers.items():
        reasons = {
            reason
            for cell in all_cells()
            if _is_shown(cell, records)
            and cell.asks(name)
            and name in records.header.get("versions", {})
            if (reason := peer.refuses(cell.deployment, cell.load)) is not None
        }
        lines += [
            f"- {peer.title} is left out of some cells: {reason}" for reason in sorted(reasons)
        ]
    return "## Left out\n\n" + "\n".join(lines) + "\n" if lines else ""


def _method(records: Records) -> str:
    foreign = [
        visit.values["foreign_cores"] for visit in records.visits if "foreign_cores" in visit.values
    ]
    disturbed = sum(cores > _QUIET_MACHINE_CORES for cores in foreign)
    quiet = (
        f"Other processes used more than {_QUIET_MACHINE_CORES} cores in {disturbed} of "
        f"{len(foreign)} turns. "
        if foreign
        else ""
    )
    limit = BODY_LIMIT_BYTES // 1024**2
    return f"""## Method

`./scripts/bench` does all of this; `./scripts/bench --list` names servers and cells. Each server is installed, pinned, in
an environment of its own and started with the same model: `noop` answers "OK" to each request of a batch, `digits` is the
classifier of examples/digits. In every round each server has its turn in every cell, so that drift hits all alike. A turn:
one request whose answer is checked, a warm-up, the measurement with wrk (one thread, POST, keep-alive), one more check.
Servers that are not having their turn are frozen (SIGSTOP), for idle timers and collectors cost two cores too much; Ray,
which takes a stopped clock for a lost node, is started for each turn. All share the machine with the load generator.

Equal for all, where a server has such a setting: queue of {QUEUE_CAPACITY:,} requests, bodies up to {limit} MiB, no request
dropped for time in less than a minute, batch delay 5 ms. Otherwise defaults: ours writes its access log and metrics.
Bodies are 1 KiB where nothing else is said. "Spread" is highest less lowest round, as a share of the median. "Processor µs"
is the processor time of all the server's processes for one request, for ours front + worker. "First answer" counts from the
command to the first right answer, with the model registered by API where the server has one. PSS counts shared pages once.
{quiet}
"""


def _charts(records: Records, peers: Mapping[str, Peer]) -> dict[str, tuple[str, str]]:
    """File name to (text for those who cannot see it, SVG)."""
    charts = {}
    for name, cell, title, figure, unit in (
        ("throughput-batch-1.svg", "b1-c64", "Batch 1, 64 connections", _RATE, "requests/s"),
        ("throughput-batch-32.svg", "b32-c64", "Batch 32, 64 connections", _RATE, "requests/s"),
        ("throughput-two-workers.svg", "b1-w2", "Batch 1, 2 workers", _RATE, "requests/s"),
        ("latency-one-connection.svg", "b32-c1", "Batch 32, 1 connection: p50", "p50_ms", "ms"),
        ("digits.svg", "digits-b32", "Digits classifier, batch 32", _RATE, "requests/s"),
        ("start.svg", "start", "Start-up to the first answer", "start_s", "s"),
        ("memory.svg", "start", "Memory at rest, all processes (PSS)", "pss_mib", "MiB"),
    ):
        bars = _bars(cell, figure, unit, records, peers)
        if len(bars) > 1:
            subtitle = f"{unit}, {'more' if figure == _RATE else 'less'} is better"
            charts[name] = (title, bar_chart(title, subtitle, bars))
    for batch_size in (1, 32):
        lines = _lines(batch_size, records, peers)
        if lines:
            title = f"Throughput over connections, batch {batch_size}"
            svg = line_chart(title, "requests/s, more is better", lines, "connections")
            charts[f"connections-batch-{batch_size}.svg"] = (title, svg)
    return charts


def _bars(
    cell: str, figure: str, unit: str, records: Records, peers: Mapping[str, Peer]
) -> list[Bar]:
    bars = []
    for name in records.peers_of(cell):
        summary = records.summary(cell, name, figure)
        if summary is not None:
            text = f"{summary.median:,.0f}" if unit == "requests/s" else f"{summary.median:,.3g}"
            bars.append(Bar(_title(name, peers), summary.median, text, name == OWN))
    return sorted(bars, key=lambda bar: bar.value, reverse=figure == _RATE)


def _lines(batch_size: int, records: Records, peers: Mapping[str, Peer]) -> list[Line]:
    lines = []
    prefix = f"b{batch_size}-c"
    cells = [
        cell
        for cell in all_cells()
        if cell.name.startswith(prefix) and cell.name.removeprefix(prefix).isdigit()
    ]
    for name in peers:
        points = [
            (float(cell.load.connections), summary.median)
            for cell in cells
            if (summary := records.summary(cell.name, name, _RATE)) is not None
        ]
        if len(points) > 2:
            lines.append(Line(_title(name, peers), tuple(points)))
    return lines


def _title(name: str, peers: Mapping[str, Peer]) -> str:
    return peers[name].title if name in peers else name


def _known(summary: Summary | None) -> Summary:
    if summary is None:
        raise ValueError("a visit with figures lacks one that all visits of its kind have")
    return summary


def _milliseconds(summary: Summary | None) -> str:
    return "–" if summary is None else f"{summary.median:.3g}"


def _bold(row: Sequence[str]) -> list[str]:
    return [f"**{text}**" if text else "" for text in row]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """First column to the left, the rest to the right."""
    lines = [
        "| " + " | ".join(head) + " |",
        "|---|" + "---:|" * (len(head) - 1),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"
