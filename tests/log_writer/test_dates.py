from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from mms.log_writer.dates import LineDates, day_name, end_of_day_s


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A time zone that is not UTC and has daylight saving, written so that no zone database is needed."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        time.tzset()
        yield
    time.tzset()


#: 2024-04-23T11:03:33 in Berlin.
_NOON_ISH_S = 1713863013


def test_a_date_is_iso_8601_in_local_time_with_a_comma_before_the_milliseconds() -> None:
    assert LineDates().of(_NOON_ISH_S * 1000 + 7) == "2024-04-23T11:03:33,007"


def test_dates_need_not_come_in_order() -> None:
    dates = LineDates()
    assert dates.of(_NOON_ISH_S * 1000 + 1999) == "2024-04-23T11:03:34,999"
    assert dates.of(_NOON_ISH_S * 1000) == "2024-04-23T11:03:33,000"


def test_a_day_is_named_with_two_digits_and_the_english_month() -> None:
    assert day_name(_NOON_ISH_S) == "23-Apr"
    assert day_name(_NOON_ISH_S + 15 * 86400) == "08-May"


def test_a_day_ends_at_local_midnight() -> None:
    assert LineDates().of(int(end_of_day_s(_NOON_ISH_S) * 1000)) == "2024-04-24T00:00:00,000"


def test_the_day_of_a_clock_change_ends_at_its_own_midnight() -> None:
    before = time.mktime((2024, 3, 31, 1, 0, 0, 0, 0, -1))
    assert end_of_day_s(before) - before == 22 * 3600


def test_the_last_day_of_a_year_ends() -> None:
    evening = time.mktime((2024, 12, 31, 23, 0, 0, 0, 0, -1))
    assert end_of_day_s(evening) - evening == 3600
