"""Two reports side by side."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Final

from mms.load_test.reports.report import PERCENTILES, Report, finite
from mms.load_test.reports.text import percentile_name

#: What differs by less is taken for the same, as a share: two loads of the same server differ by as much.
NOISE: Final = 0.05
#: More errors than this, as a share of the requests, are worse ones.
_ERROR_NOISE: Final = 0.001


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of both. `change`: of the second against the first, as a share; None where there is none."""

    what: str
    unit: str
    first: float | None
    second: float | None
    change: float | None
    #: `better`, `worse` or `same`.
    verdict: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """`differences`: what makes the two loads unlike each other, in sentences."""

    first: Report
    second: Report
    rows: tuple[Row, ...]
    differences: tuple[str, ...]

    def worst(self) -> float:
        """Return by how much the figure that got worst is worse, as a share; infinite for new errors."""
        return max((_loss(row) for row in self.rows if row.verdict == "worse"), default=0.0)

    def as_dict(self) -> dict[str, Any]:
        return {
            "format": "mms-bench-comparison/1",
            "first": self.first.name or self.first.target,
            "second": self.second.name or self.second.target,
            "rows": [asdict(row) for row in self.rows],
            "differences": list(self.differences),
        }


def compare_reports(first: Report, second: Report) -> Comparison:
    """Return how the second is against the first."""
    rows = []
    if (
        first.highest_rate is not None
        and second.highest_rate is not None
        and first.goal == second.goal
    ):
        rows.append(
            _row(
                f"highest rate, {first.goal}",
                "requests/s",
                first.highest_rate,
                second.highest_rate,
                True,
            )
        )
    # Of an open loop it is what was asked for, unless the server could not keep up.
    rows.append(_row("answers", "/s", first.answers_per_s, second.answers_per_s, True))
    rows.append(_errors(first, second))
    rows += [
        _row(percentile_name(p), "ms", first.percentile_ms(p), second.percentile_ms(p), False)
        for p in PERCENTILES
    ]
    return Comparison(first, second, tuple(rows), tuple(_differences(first, second)))


def _row(what: str, unit: str, first: float, second: float, is_more_better: bool) -> Row:
    change = (
        second / first - 1 if first and math.isfinite(first) and math.isfinite(second) else None
    )
    if change is None:
        # A percentile of failed requests is infinite.
        is_more, is_less = second > first, second < first
    else:
        is_more, is_less = change > NOISE, change < -NOISE
    verdict = "same"
    if is_more or is_less:
        verdict = "better" if is_more == is_more_better else "worse"
    return Row(
        what,
        unit,
        finite(first),
        finite(second),
        None if change is None else round(change, 6),
        verdict,
    )


def _errors(first: Report, second: Report) -> Row:
    difference = second.error_share - first.error_share
    verdict = "same"
    if abs(difference) > _ERROR_NOISE:
        verdict = "worse" if difference > 0 else "better"
    return Row(
        "errors",
        "%",
        round(first.error_share * 100, 4),
        round(second.error_share * 100, 4),
        None,
        verdict,
    )


def _loss(row: Row) -> float:
    return math.inf if row.change is None else abs(row.change)


def _differences(first: Report, second: Report) -> list[str]:
    found = []
    is_search = first.highest_rate is not None and second.highest_rate is not None
    if is_search:
        if first.goal != second.goal:
            found.append(f"The goals differ: {first.goal} and {second.goal}.")
        elif first.load != second.load:
            found.append("The percentiles are those at each one's own highest rate.")
    elif first.load != second.load:
        found.append(f"The loads differ: {first.load} and {second.load}.")
    if (first.bodies, round(first.body_bytes)) != (second.bodies, round(second.body_bytes)):
        found.append(
            f"The bodies differ: {first.bodies:,} of {first.body_bytes:,.0f} bytes on average, and "
            f"{second.bodies:,} of {second.body_bytes:,.0f}."
        )
    if first.machine != second.machine:
        found.append(f"The load came from different machines: {first.machine}; {second.machine}.")
    return found
