"""Reports of load tests: what they say, that they are read again, and that pages ask nobody and run nothing."""

from __future__ import annotations

import json
import math
import re

import pytest
from support.load_reports import report_of, result_of, search_report

from mms.load_test import ClosedLoop, LatencyGoal, LatencyHistogram, PoissonArrivals
from mms.load_test.reports.comparison import compare_reports
from mms.load_test.reports.page import comparison_page, report_page
from mms.load_test.reports.report import InvalidReport, read_report

NASTY = "</title><script>alert(1)</script>\"'&"


@pytest.mark.parametrize(
    ("text", "limit_s", "share"),
    [("p99=50ms", 0.05, 0.99), ("p99.9<1.5s", 1.5, 0.999), (" p50 = 800us ", 8e-4, 0.5)],
)
def test_a_goal_is_read_as_people_write_it(text: str, limit_s: float, share: float) -> None:
    goal = LatencyGoal.parse(text)
    assert (goal.limit_s, goal.share) == (pytest.approx(limit_s), pytest.approx(share))


@pytest.mark.parametrize(
    "text",
    ["", "50ms", "p99=50", "p0=1s", "p100=1s", "p99=0ms", "p99=-1s", "p9=" + "9" * 400 + "s"],
)
def test_what_is_no_goal_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"goal|percentile|limit"):
        LatencyGoal.parse(text)


def test_the_correction_counts_what_a_waiting_client_did_not_send() -> None:
    measured = LatencyHistogram.of([0.01] * 99 + [1.0])
    corrected = measured.corrected(0.01)
    # One answer of a second hides 99 requests, which would have waited from 0.99 s down to 0.01 s.
    assert corrected.count == pytest.approx(199, abs=2)
    assert measured.percentile(0.75) == pytest.approx(0.01, rel=0.01)
    expected = sorted([0.01] * 99 + [n / 100 for n in range(1, 101)])
    for share in (0.6, 0.75, 0.9, 0.99):
        right = expected[math.ceil(share * 199) - 1]
        assert corrected.percentile(share) == pytest.approx(right, rel=0.03)
    assert measured.corrected(2.0).count == measured.corrected(math.nan).count == measured.count
    assert LatencyHistogram.of([9000.0]).corrected(1e-6).count == pytest.approx(9e9, rel=0.01)


def test_failed_requests_are_in_the_percentiles() -> None:
    report = report_of(result_of(*[0.01] * 95, errors=5))
    assert report.percentile_ms(90) == pytest.approx(10, rel=0.01)
    assert math.isinf(report.percentile_ms(99))
    assert report.error_share == 0.05


@pytest.mark.parametrize("make", [lambda: report_of(result_of(0.01, 0.2)), search_report])
def test_a_report_is_read_as_it_was_written(make) -> None:
    report = make()
    text = json.dumps(report.as_dict(), allow_nan=False)
    assert "secret" not in text
    again = read_report(text.encode())
    assert again.as_dict() == report.as_dict()
    assert report_page(again) == report_page(report)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"},
        {"target": 1},
        {"duration_s": "2"},
        {"duration_s": math.nan},
        {"latencies": {"counts": {"99999": 1}, "total_s": 1, "min_s": 1, "max_s": 1}},
        {"latencies": {"counts": {"9": -1}, "total_s": 1, "min_s": 1, "max_s": 1}},
        {"latencies": 3},
        {"timeline": [{"start_s": 0}]},
        {"timeline": 5},
        {"trials": [{**dict.fromkeys(("rate", "held", "goal_ms", "requests", "errors"), 1)}]},
        {"statuses": {"x": 1}},
        {"errors": {"503": 10**400}},
        {"content_types": [1]},
    ],
)
def test_what_is_no_report_is_refused(change: dict) -> None:
    document = {**report_of(result_of(0.01)).as_dict(), **change}
    with pytest.raises(InvalidReport):
        read_report(json.dumps(document).encode())
    with pytest.raises(InvalidReport):
        read_report(b"[" * 100_000)


@pytest.mark.parametrize(
    "make",
    [
        lambda: report_page(report_of(result_of(0.01, 0.5, errors=2), where=NASTY)),
        lambda: report_page(report_of(result_of(), ClosedLoop(3))),
        lambda: report_page(report_of(result_of(*[0.01] * 50, 0.3), ClosedLoop(3))),
        lambda: report_page(search_report()),
        lambda: comparison_page(
            compare_reports(search_report(), report_of(result_of(0.3), where=NASTY))
        ),
    ],
)
def test_a_page_is_one_file_that_asks_nobody_and_runs_nothing(make) -> None:
    page = make()
    assert "script" not in page.replace("&lt;script", "").replace("&lt;/script", "")
    assert not re.search(r"\b(src|href)\s*=|url\(|@import", page)
    assert "default-src 'none'" in page
    assert "prefers-color-scheme:dark" in page
    assert page.count("<svg") == page.count("</svg>")


def test_a_search_s_report_has_the_highest_rate_that_held_and_all_trials() -> None:
    report = search_report()
    assert (report.highest_rate, report.capacity_per_s) == (100.0, 900.0)
    assert [(t.rate, t.held, t.is_given_up) for t in report.trials] == [
        (120.0, False, True),
        (100.0, True, False),
    ]


def test_a_comparison_says_what_is_better_worse_and_the_same() -> None:
    first = report_of(result_of(*[0.01] * 900, *[0.10] * 100))
    second = report_of(result_of(*[0.0102] * 900, *[0.05] * 98, *[0.2] * 2), PoissonArrivals(60))
    found = compare_reports(first, second)
    verdicts = {row.what: row.verdict for row in found.rows}
    assert verdicts["p50"] == "same"
    assert verdicts["p99"] == "better"
    assert verdicts["max"] == "worse"
    assert found.worst() == pytest.approx(1.0, abs=0.02)
    assert any("loads differ" in text for text in found.differences)
    failing = compare_reports(first, report_of(result_of(0.01, errors=1)))
    assert math.isinf(failing.worst())
