"""The pages that `mms bench` writes, in a browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.load_reports import report_of, result_of, search_report

from mms.load_test import ClosedLoop
from mms.load_test.reports.comparison import compare_reports
from mms.load_test.reports.page import comparison_page, report_page

from .conftest import Console


def test_reports_are_readable_in_both_colours_and_on_a_telephone_and_ask_nobody(
    console: Console, tmp_path: Path, is_full: bool
) -> None:
    if not is_full:
        pytest.skip("starts a browser of its own; the pages' text is tested without one")
    from .browser import NARROW, WIDE

    browser = console.browser
    slow = report_of(
        result_of(*[0.01] * 50, 0.3, errors=1), ClosedLoop(3), where="http://b/" + "c" * 80
    )
    pages = {
        "search.html": report_page(search_report()),
        "comparison.html": comparison_page(compare_reports(search_report(), slow)),
    }
    browser.complaints()
    browser.hosts_asked()
    try:
        for name, page in pages.items():
            (tmp_path / name).write_text(page, "utf-8")
            for colours, size, shade in (
                ("light", WIDE, "rgb(255, 255, 255)"),
                ("dark", NARROW, "rgb(20, 24, 31)"),
            ):
                browser.prefer(colours)
                browser.resize(size)
                browser.driver.get((tmp_path / name).as_uri())
                found = browser.run("return getComputedStyle(document.body).backgroundColor")
                assert found == shade
                assert not browser.is_wider_than_its_window(), name
                assert browser.accessibility_problems() == [], name
        assert browser.hosts_asked() == set()
        assert browser.complaints() == []
    finally:
        browser.prefer("light")
        browser.resize(WIDE)
        browser.open("/console")
