"""Which charts the page shows."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.cells import all_cells
from benchmarks.charts import Bar, Line, bar_chart, line_chart
from benchmarks.goals import OWN
from benchmarks.on_demand import MEMORY_AT
from benchmarks.peers.peer import Peer
from benchmarks.records import Records
from benchmarks.tables import RATE, title_of

_COLD = "From a request to a model that is not loaded to its answer"


def draw_charts(records: Records, peers: Mapping[str, Peer]) -> dict[str, tuple[str, str]]:
    """Return (text for those who cannot see it, SVG) by file name."""
    charts = {}
    for name, cell, title, figure, unit in (
        ("throughput-batch-1.svg", "b1-c64", "Batch 1, 64 connections", RATE, "requests/s"),
        ("throughput-batch-32.svg", "b32-c64", "Batch 32, 64 connections", RATE, "requests/s"),
        ("throughput-two-workers.svg", "b1-w2", "Batch 1, 2 workers", RATE, "requests/s"),
        ("latency-one-connection.svg", "b32-c1", "Batch 32, 1 connection: p50", "p50_ms", "ms"),
        ("digits.svg", "digits-b32", "Digits classifier, batch 32", RATE, "requests/s"),
        ("start.svg", "start", "Start-up to the first answer", "start_s", "s"),
        ("cold-first-answer.svg", "cold-first-answer", _COLD, "cold_p50_ms", "ms"),
        ("memory.svg", "start", "Memory at rest, all processes (PSS)", "pss_mib", "MiB"),
    ):
        bars = _bars(cell, figure, unit, records, peers)
        if len(bars) > 1:
            subtitle = f"{unit}, {'more' if figure == RATE else 'less'} is better"
            charts[name] = (title, bar_chart(title, subtitle, bars))
    for batch_size in (1, 32):
        lines = _lines(batch_size, records, peers)
        if lines:
            title = f"Throughput over connections, batch {batch_size}"
            svg = line_chart(title, "requests/s, more is better", lines, "connections")
            charts[f"connections-batch-{batch_size}.svg"] = (title, svg)
    if lines := _memory_lines(records, peers):
        title = "Memory over loaded models"
        svg = line_chart(title, "MiB of all processes, less is better", lines, "models")
        charts["memory-per-model.svg"] = (title, svg)
    return charts


def _memory_lines(records: Records, peers: Mapping[str, Peer]) -> list[Line]:
    cell = "memory-per-model"
    lines = []
    for name in records.peers_of(cell):
        points = [
            (float(count), summary.median)
            for count in MEMORY_AT
            if (summary := records.summary(cell, name, f"mib_at_{count}")) is not None
        ]
        lines.append(Line(title_of(name, peers), tuple(points)))
    return lines


def _bars(
    cell: str, figure: str, unit: str, records: Records, peers: Mapping[str, Peer]
) -> list[Bar]:
    bars = []
    for name in records.peers_of(cell):
        summary = records.summary(cell, name, figure)
        if summary is not None:
            text = f"{summary.median:,.0f}" if unit == "requests/s" else f"{summary.median:,.3g}"
            bars.append(Bar(title_of(name, peers), summary.median, text, name == OWN))
    return sorted(bars, key=lambda bar: bar.value, reverse=figure == RATE)


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
            if (summary := records.summary(cell.name, name, RATE)) is not None
        ]
        if len(points) > 2:
            lines.append(Line(title_of(name, peers), tuple(points)))
    return lines
