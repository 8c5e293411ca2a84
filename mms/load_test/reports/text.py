"""A report as rows for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mms.load_test.reports.report import PERCENTILES, Report, Trial


def milliseconds(value: float | None) -> str:
    """Return a latency in words; infinite where requests failed, NaN where there were none."""
    if value is None or math.isinf(value):
        return "failed"
    if math.isnan(value):
        return "-"
    return f"{value:,.0f} ms" if value >= 1000 else f"{value:.3g} ms"


def number(value: float) -> str:
    """Return a count or a rate with as many digits as it is worth."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def percentile_name(percent: float) -> str:
    return "max" if percent >= 100 else f"p{percent:g}"


def summary_rows(report: Report) -> list[tuple[str, str]]:
    """Return (what, value) of the whole load."""
    rows = [("load", f"{report.load}, {report.duration_s:.3g} s")]
    if report.capacity_per_s is not None:
        rows.append(("with clients that wait", f"{number(report.capacity_per_s)} answers/s"))
    rows += [
        ("requests", f"{report.requests:,}"),
        ("answers", f"{number(report.answers_per_s)}/s"),
        ("errors", _errors(report)),
        ("connections", f"{report.connections:,}"),
    ]
    if report.goal is not None and report.highest_rate is None:
        rows.append(("goal", f"{report.goal}: {'held' if report.goal_held else 'not held'}"))
    return rows


def percentile_rows(report: Report) -> list[tuple[str, ...]]:
    """Return (percentile, latency), for a closed loop with what was measured beside what is corrected."""
    rows: list[tuple[str, ...]] = []
    for percent in PERCENTILES:
        row: tuple[str, ...] = (
            percentile_name(percent),
            milliseconds(report.percentile_ms(percent)),
        )
        if report.corrected is not None:
            row += (milliseconds(report.latencies.percentile(percent / 100) * 1000),)
        rows.append(row)
    return rows


def percentile_headings(report: Report) -> tuple[str, ...]:
    if report.corrected is None:
        return ("PERCENTILE", "LATENCY")
    return ("PERCENTILE", "LATENCY", "AS MEASURED")


def trial_row(trial: Trial) -> Sequence[str]:
    return (
        f"{trial.rate:.4g}",
        milliseconds(trial.goal_ms) if not trial.is_given_up else "-",
        f"{trial.errors:,}",
        "held" if trial.held else "not held",
    )


def _errors(report: Report) -> str:
    if not report.errors:
        return "0"
    kinds = sorted(report.errors.items(), key=lambda kind: -kind[1])
    named = ", ".join(f"{count:,} x {kind}" for kind, count in kinds)
    return f"{report.error_share:.2%} ({named})"
