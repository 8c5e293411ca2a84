"""Reports of load tests that nobody has run."""

from __future__ import annotations

from mms.load_test import (
    LatencyGoal,
    LatencyHistogram,
    LoadPlan,
    LoadRequest,
    LoadResult,
    PoissonArrivals,
    RateTrial,
    Saturation,
    Schedule,
    Target,
)
from mms.load_test.reports.report import Report, make_report
from mms.load_test.results import Interval

PLAN = LoadPlan(
    Target("127.0.0.1", 1),
    [LoadRequest("/a", b"12", {"Content-Type": "text/plain", "Authorization": "Bearer secret"})],
)
GOAL = LatencyGoal(0.05)


def result_of(*latencies_s: float, errors: int = 0) -> LoadResult:
    counted = LatencyHistogram.of(latencies_s)
    result = LoadResult(2.0, requests=len(latencies_s) + errors, latencies=counted)
    result.service_times = counted
    result.answered_in_time = len(latencies_s)
    result.statuses[200] += len(latencies_s)
    if errors:
        result.errors["503"] += errors
    result.timeline = [Interval(counted, errors), Interval()]
    return result


def report_of(result: LoadResult, schedule: Schedule | None = None, **named: object) -> Report:
    options: dict = {"where": "http://a/b", "tool": "mms 2", **named}
    return make_report(PLAN, schedule or PoissonArrivals(50), result, **options)


def search_report() -> Report:
    held, lost = result_of(*[0.01] * 99, 0.04), result_of(*[0.07] * 50)
    lost.is_given_up = True
    found = Saturation(GOAL, 900.0, [RateTrial(120.0, False, lost), RateTrial(100.0, True, held)])
    return report_of(held, PoissonArrivals(100), goal=GOAL, saturation=found)
