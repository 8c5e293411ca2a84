"""Reports as pages: one file each, without a script and without a request to anybody."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from mms.load_test.latencies import LatencyHistogram
from mms.load_test.reports.charts import (
    Axis,
    Series,
    line_chart,
    percentile_axis,
    percentile_place,
)
from mms.load_test.reports.comparison import Comparison, Row
from mms.load_test.reports.report import Report
from mms.load_test.reports.style import STYLE
from mms.load_test.reports.text import (
    milliseconds,
    number,
    percentile_headings,
    percentile_rows,
    summary_rows,
    trial_row,
)

#: Characters from which a cell is broken into lines.
_LONG_CELL = 24
#: Percentiles that a curve is drawn through.
_CURVE = (
    *(float(p) for p in range(0, 90, 5)),
    *(90 + p for p in range(9)),
    *(99.0, 99.3, 99.5, 99.7, 99.9, 99.93, 99.95, 99.97, 99.99, 99.995, 99.999),
)


def report_page(report: Report) -> str:
    """Return the page of one load, or of a search."""
    parts = [
        f"<h1>{escape(report.target)}</h1>",
        f'<p class="sub">{escape(_about(report))}</p>',
        _tiles(report),
        *(f'<p class="warning">{escape(text)}</p>' for text in report.warnings()),
    ]
    if report.trials:
        parts += ["<h2>The search</h2>", _search_chart(report), _trials(report)]
    parts += ["<h2>Latency</h2>", _percentile_chart([("latency", report)])]
    if report.corrected is not None:
        parts.append(
            '<p class="note">Clients of a closed loop wait for their answers: while one takes long they ask nothing, '
            "and what they would have asked is missing from what was measured. The corrected latencies count it by "
            "the rule of HdrHistogram, with the median as the time between two requests.</p>"
        )
    parts += [
        _table(
            [each.capitalize() for each in percentile_headings(report)], percentile_rows(report)
        ),
        "<h2>Over time</h2>",
        _time_chart([("", report)]),
        _rate_chart([("", report)]),
        "<h2>The load</h2>",
        _table(("", ""), [*summary_rows(report), *_load_rows(report)]),
        _counts(report),
    ]
    return _document(f"Load test of {report.target}", parts, report)


def comparison_page(found: Comparison) -> str:
    """Return the page of two reports."""
    named = [(found.first.name or "A", found.first), (found.second.name or "B", found.second)]
    headings = ("Figure", named[0][0], named[1][0], "Change", "Verdict")
    rows = "".join(_comparison_row(row) for row in found.rows)
    parts = [
        f"<h1>{escape(named[1][0])} against {escape(named[0][0])}</h1>",
        f'<p class="sub">{escape(found.first.target)}, {escape(found.second.target)}</p>',
        *(f'<p class="warning">{escape(text)}</p>' for text in found.differences),
        f'<div class="wide" tabindex="0"><table>{_head(headings)}<tbody>{rows}</tbody></table></div>',
        "<h2>Latency</h2>",
        _percentile_chart(named),
        "<h2>Over time</h2>",
        _time_chart(named),
        _rate_chart(named),
    ]
    for name, report in named:
        parts += [
            f"<h2>{escape(name)}</h2>",
            f'<p class="sub">{escape(_about(report))}</p>',
            *(f'<p class="warning">{escape(text)}</p>' for text in report.warnings()),
            _table(("", ""), [*summary_rows(report), *_load_rows(report)]),
        ]
    return _document(f"{named[1][0]} against {named[0][0]}", parts, found.second)


def _tiles(report: Report) -> str:
    tiles = []
    if report.highest_rate is not None:
        tiles.append((f"highest rate, {report.goal}", f"{number(report.highest_rate)}/s"))
    elif report.goal is not None:
        tiles.append((report.goal, "held" if report.goal_held else "not held"))
    tiles += [
        ("answers", f"{number(report.answers_per_s)}/s"),
        ("median", milliseconds(report.percentile_ms(50))),
        ("p99", milliseconds(report.percentile_ms(99))),
        ("errors", f"{report.error_share:.2%}" if report.errors else "0"),
    ]
    shown = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in tiles)
    return f'<dl class="tiles">{shown}</dl>'


def _about(report: Report) -> str:
    return ", ".join(text for text in (report.load, report.time, report.machine) if text)


def _search_chart(report: Report) -> str:
    held = [(t.rate, t.goal_ms) for t in report.trials if t.held and t.goal_ms is not None]
    lost = [
        (t.rate, t.goal_ms)
        for t in report.trials
        if not t.held and not t.is_given_up and t.goal_ms is not None
    ]
    limit = report.goal_limit_ms or 0.0
    # Their latencies are not known, only that too many were above the limit.
    early = [(t.rate, limit) for t in report.trials if t.is_given_up]
    percent = f"p{report.goal_percent or 0:g}"
    return line_chart(
        f"{percent} at each rate that was tried",
        [
            Series("held", sorted(held), "s0", is_line=False),
            Series("not held", sorted(lost), "s1", is_line=False),
            Series("not held, ended early", sorted(early), "s1", is_line=False, hollow=True),
        ],
        Axis("requests/s"),
        Axis("ms"),
        (limit, f"goal: {report.goal}") if limit > 0 else None,
    )


def _trials(report: Report) -> str:
    heading = f"p{report.goal_percent or 0:g}"
    return _table(
        ("Requests/s", heading, "Errors", "Outcome"), [trial_row(trial) for trial in report.trials]
    )


def _percentile_chart(named: Sequence[tuple[str, Report]]) -> str:
    series = []
    most = 90.0
    for index, (name, report) in enumerate(named):
        counted = report.corrected or report.latencies
        series.append(Series(name, _curve(counted), f"s{index}"))
        if report.corrected is not None and len(named) == 1:
            series[0] = Series("corrected", series[0].points, "s0")
            series.append(Series("as measured", _curve(report.latencies), "s2"))
        most = max(most, 100 - 100 / max(counted.count, 1))
    title = "Latency that so many per cent of the answers do not exceed"
    return line_chart(title, series, percentile_axis(most), Axis("ms"))


def _curve(counted: LatencyHistogram) -> list[tuple[float, float]]:
    if not counted.count:
        return []
    known = 100 - 100 / counted.count
    points = [
        (percentile_place(p), counted.percentile(p / 100) * 1000) for p in _CURVE if p <= known
    ]
    return [*points, (percentile_place(known), counted.max_s * 1000)]


def _time_chart(named: Sequence[tuple[str, Report]]) -> str:
    series = []
    for index, (name, report) in enumerate(named):
        for place, what in enumerate(("p99", "p50")):
            points = [
                (point.start_s + point.seconds / 2, value)
                for point in report.timeline
                if (value := point.p99_ms if what == "p99" else point.p50_ms) is not None
            ]
            label = f"{name} {what}".strip()
            series.append(Series(label, points, f"s{place * 2 + index}"))
    return line_chart(
        "Latency of the requests that were due in each interval",
        series,
        Axis("seconds"),
        Axis("ms"),
    )


def _rate_chart(named: Sequence[tuple[str, Report]]) -> str:
    series = []
    for index, (name, report) in enumerate(named):
        answers = [
            (p.start_s + p.seconds / 2, p.answers / p.seconds) for p in report.timeline if p.seconds
        ]
        series.append(Series(f"{name} answers".strip(), answers, f"s{index * 2}"))
        if any(point.errors for point in report.timeline):
            errors = [
                (p.start_s + p.seconds / 2, p.errors / p.seconds)
                for p in report.timeline
                if p.seconds
            ]
            series.append(Series(f"{name} errors".strip(), errors, "s1" if not index else "s3"))
    return line_chart("Right answers and errors", series, Axis("seconds"), Axis("1/s"))


def _load_rows(report: Report) -> list[tuple[str, str]]:
    kinds = ", ".join(report.content_types) or "none"
    rows = [
        ("method", report.method),
        ("bodies", f"{report.bodies:,}, {report.body_bytes:,.0f} bytes on average"),
        ("content type", kinds),
        ("warm-up", f"{report.warm_up_s:g} s"),
        ("received", f"{report.received_bytes:,} bytes"),
    ]
    if report.clients is None and not math.isnan(report.generator_late_p99_ms):
        rows.append(("sent late, p99", milliseconds(report.generator_late_p99_ms)))
    return rows


def _counts(report: Report) -> str:
    rows = [(f"status {status}", f"{count:,}") for status, count in sorted(report.statuses.items())]
    rows += [(f"error: {kind}", f"{count:,}") for kind, count in sorted(report.errors.items())]
    return _table(("Outcome", "Requests"), rows) if rows else ""


def _comparison_row(row: Row) -> str:
    def shown(value: float | None) -> str:
        if row.unit == "ms":
            return milliseconds(value)
        return "-" if value is None else f"{number(value)} {row.unit}"

    change = "" if row.change is None else f"{row.change:+.1%}"
    cells = (row.what, shown(row.first), shown(row.second), change, row.verdict)
    return (
        f'<tr class="{row.verdict}">'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
    )


def _head(headings: Sequence[str]) -> str:
    if not any(headings):
        return ""
    return (
        "<thead><tr>"
        + "".join(f'<th scope="col">{escape(each)}</th>' for each in headings)
        + "</tr></thead>"
    )


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f'<div class="wide" tabindex="0"><table>{_head(headings)}<tbody>{body}</tbody></table></div>'


def _cell(text: str) -> str:
    kind = ' class="long"' if len(text) > _LONG_CELL else ""
    return f"<td{kind}>{escape(text)}</td>"


def _document(title: str, parts: Sequence[str], report: Report) -> str:
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            # What is in a report comes from others, too; nothing of it may load or run anything.
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>",
            *parts,
            f"<footer>{escape(report.tool)}</footer></main></body></html>",
            "",
        ]
    )
