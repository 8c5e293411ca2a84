"""Writes `benchmarks.md` and its charts from the records of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.cells import (
    FIXED_SIZES,
    GOALS_MS,
    REAL_MODELS,
    Cell,
    all_cells,
    fixed_cell,
    groups,
)
from benchmarks.deployment import BODY_LIMIT_BYTES, QUEUE_CAPACITY
from benchmarks.drawings import draw_charts
from benchmarks.goals import GOALS, OWN
from benchmarks.headline import headline
from benchmarks.peers.peer import Peer
from benchmarks.records import Records
from benchmarks.tables import RATE, cell_table, table, title_of

CHARTS_FOLDER = "benchmarks"
_FIXED = {fixed_cell(kind, size) for kind, _ in REAL_MODELS for size in FIXED_SIZES}
_QUIET_MACHINE_CORES = 0.15
_ON_DEMAND = """
Models on demand: each model is the classifier of examples/digits, registered under a name of its own. Ours loads a model
when a request needs it (`lazy_load`) and unloads by `memory_limit`. AWS MMS and TorchServe do neither, so their client does:
it scales a model to one worker before its request, and the least recently used idle ones to none, with room for as many
as the memory has at 66 and 193 MiB each beside 427 and 184 MiB of the server itself, and two loads under way at most. MLServer keeps all models in one process,
without isolation between them; its client loads a model before its first request. The time of a request counts from when
it was due. A miss is one that was due before its model was loaded. Memory is that of all processes: PSS and page tables.

Of these servers ours is the densest with a process of its own for each model.
"""


def write_report(records: Records, peers: Mapping[str, Peer], target: Path) -> None:
    """The page goes to `target`, the charts into the folder `benchmarks` beside it."""
    folder = target.parent / CHARTS_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    charts = draw_charts(records, peers)
    for name, (_, svg) in charts.items():
        (folder / name).write_text(svg, encoding="utf-8")
    target.write_text(page(records, peers, charts), encoding="utf-8")


def page(records: Records, peers: Mapping[str, Peer], charts: Mapping[str, tuple[str, str]]) -> str:
    sections = [
        _introduction(records),
        headline(records, peers),
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
        _method(records, peers),
    ]
    return "\n".join(section for section in sections if section)


def _is_shown(cell: Cell, records: Records) -> bool:
    return bool(records.peers_of(cell.name))


def _introduction(records: Records) -> str:
    header = records.header
    machine = "\n".join(f"- {key}: {text}" for key, text in header.get("machine", {}).items())
    return f"""# Benchmarks

Written by `./scripts/bench`; do not edit. {_when(records)}How to read and repeat it: [method](#method).

{machine}
- load: {header.get("generator", "?")}, one thread, on the same machine
"""


def _when(records: Records) -> str:
    """Say when and how the cells were measured, with a table where that differs."""
    titles = {cell.name: cell for cell in all_cells()}
    rows = []
    for part in records.parts:
        names = dict.fromkeys(titles[name].group for name in part["cells"] if name in titles)
        how = f"{part['rounds']} x {part['duration_s']:g} s"
        rows.append([", ".join(names), part["date"], part["commit"], how])
    if not rows:
        return ""
    if len(rows) == 1:
        _, date, commit, _ = rows[0]
        rounds, duration_s = records.parts[0]["rounds"], records.parts[0]["duration_s"]
        rounds = f"{rounds} interleaved rounds" if rounds > 1 else "one round"
        return f"Measured {date} at commit {commit}, {rounds} of {duration_s:g} s each, medians. "
    head = ["group", "measured", "commit", "interleaved rounds, medians"]
    return f"Measured in parts:\n\n{table(head, rows)}\n"


def _servers(records: Records, peers: Mapping[str, Peer]) -> str:
    versions = records.header.get("versions", {})
    rows = [
        [peer.title, versions[name], peer.front, peer.note or "bodies of plain bytes"]
        for name, peer in peers.items()
        if name in versions
    ]
    return "## Servers\n\n" + table(["server", "version", "front", "request"], rows)


def _goals(records: Records) -> str:
    titles = {cell.name: cell.title for cell in all_cells()}
    rows = []
    # Of the others' goals the page has nothing to say.
    chosen = {name for part in records.parts for name in part["cells"]}
    for goal in GOALS:
        if chosen and goal.cell not in chosen:
            continue
        value = goal.measure(records)
        verdict = goal.verdict(value)
        shown = (
            "–" if value is None else (f"{value:.2f}{goal.unit}" if goal.unit else f"{value:,.0f}")
        )
        mark = f"**{verdict}**" if verdict == "missed" else verdict
        rows.append([titles[goal.cell], goal.text, goal.wanted(), shown, mark])
    head = ["cell", "figure", "wanted", "measured", ""]
    return "## Goals\n\n" + table(head, rows)


def _group(name: str, cells: Sequence[Cell], records: Records, peers: Mapping[str, Peer]) -> str:
    parts = [f"## {name[0].upper()}{name[1:]}\n"]
    for cell in cells:
        # The headline has the fixed policy's figures.
        if not _is_shown(cell, records) or cell.name in _FIXED:
            continue
        if len(cells) > 1 or cell.title != name:
            parts.append(f"### {cell.title[0].upper()}{cell.title[1:]}\n")
        parts.append(cell_table(cell, records, peers))
    return "\n".join(parts)


def _losses(records: Records, peers: Mapping[str, Peer]) -> str:
    lines = []
    for cell in all_cells():
        for figure, is_less_better, word in (
            (RATE, False, "requests/s"),
            ("p50_ms", True, "ms p50"),
            ("p99_ms", True, "ms p99"),
            *(
                (f"rate_{goal_ms}ms", False, f"requests/s, p99 up to {goal_ms} ms")
                for goal_ms in GOALS_MS
            ),
            *(
                (f"half_p99_{goal_ms}ms", True, f"ms p99 at half the rate for {goal_ms} ms")
                for goal_ms in GOALS_MS
            ),
            ("start_s", True, "s"),
            ("scale_s", True, "s"),
            ("pss_mib", True, "MiB PSS"),
            ("cold_p50_ms", True, "ms"),
            ("mib_per_model", True, "MiB for one more model"),
            ("miss_p50_ms", True, "ms p50 of misses"),
            ("hit_p50_ms", True, "ms p50 of hits"),
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
                        f"- {cell.title}: {title_of(name, peers)} {theirs.median:,.4g} {word}, "
                        f"ours {ours.median:,.4g}"
                    )
    if not lines:
        return ""
    return "## Where another server is better\n\n" + "\n".join(lines) + "\n"


def _absentees(records: Records, peers: Mapping[str, Peer]) -> str:
    lines = [
        f"- {title_of(name, peers)} could not run: {reason}"
        for name, reason in records.header.get("absent", {}).items()
    ]
    refused = records.header.get("refused", {})
    lines += [
        f"- {cell.title}: {refused[cell.name]}" for cell in all_cells() if cell.name in refused
    ]
    for cell in all_cells():
        if not _is_shown(cell, records):
            continue
        for name in peers:
            problems = records.problems(cell.name, name)
            if problems:
                first_line = problems[-1].partition("\n")[0]
                has_figures = bool(records.values(cell.name, name, RATE))
                word = "failed a turn" if has_figures else "gave no figures"
                lines.append(f"- {title_of(name, peers)} {word} in {cell.name!r}: {first_line}")
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


def _tuning(peers: Mapping[str, Peer]) -> str:
    rows = "\n".join(f"- {peer.title}: {peer.tuning}" for peer in peers.values() if peer.tuning)
    return f"""
Real models: the same code in each server takes a batch of bodies and gives as many answers; `benchmarks/models/` has it
and makes the models. Requests come at random times (Poisson) whatever becomes of those before them, over up to 256
connections, and a latency counts from when a request was due. For each goal a search finds the highest rate at which
99 of 100 requests are answered within it, errors counting as late; p99 at half of that rate is measured then. The load
generator is `mms/load_test/`. Every server has 2 workers and batches of 32 at the most; its other settings are ones that
its documentation describes, not the best that a search would find:

{rows}

"Fixed" is this server with `batch_policy=fixed`, batches of 1, 8 or 32 and a delay of 5 ms; adaptive is the default, with batches of 32 at the most.
"""


def _method(records: Records, peers: Mapping[str, Peer]) -> str:
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
    has_on_demand = any(
        _is_shown(cell, records) for cell in all_cells() if cell.deployment.on_demand
    )
    has_goals = any(_is_shown(cell, records) for cell in all_cells() if cell.kind == "goals")
    return f"""## Method

`./scripts/bench` does all of this; `./scripts/bench --list` names servers and cells. Each server is installed, pinned,
in an environment of its own and started with the same model: `noop` answers "OK" to each request of a batch, `digits` is
the classifier of examples/digits. In every round each server has its turn in every cell, so that drift hits all alike. A
turn: one request whose answer is checked, a warm-up, the measurement with wrk (one thread, POST, keep-alive), one more
check. The models of MLRun's contract give a row of four numbers back or sum it up; an ensemble is three of them in workers
of their own, asked at the same time by the server, and "alone" is the slowest of the three on the same server. MLRun's
own graph server stands behind uvicorn, in the same process, for Nuclio's processor comes from no package index: that
spares it a hop. A stream is one request whose parts a handler sends one after the other, for all requests of its batch: ours and TorchServe have
the same handler, by `send_intermediate_predict_response`; LitServe has a generator. Servers that are not having their
turn are frozen (SIGSTOP), for idle timers and collectors cost two cores too much. All share the machine with the load generator.

Equal for all, where a server has such a setting: a queue of {QUEUE_CAPACITY:,} requests, bodies up to {limit} MiB, no request
dropped for its age within a minute, batch delay 5 ms. Otherwise defaults: ours writes its access log and metrics.
Bodies are 1 KiB where nothing else is said. Idle connections have had one answer each before a turn; one that the
server closes is an error. "Spread" is highest less lowest round, as a share of the median. "Processor
µs" is the processor time of all the server's processes for one request, for ours front + worker. "First answer" counts
from the command to the first right answer, with the model registered by API where the server has one. PSS counts
shared pages once.
{quiet}
{_ON_DEMAND if has_on_demand else ""}{_tuning(peers) if has_goals else ""}"""
