"""Dates of log lines, and the days by which log files rotate. Local time, as MMS's log files have it."""

from __future__ import annotations

import time

#: Java's `MMM` in the English locale; strftime's `%b` would follow this process's locale.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class LineDates:
    """Makes `2024-04-23T11:03:33,657` of milliseconds since the epoch. Formats each second once."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def of(self, milliseconds: int) -> str:
        second, rest = divmod(milliseconds, 1000)
        if second != self._second:
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(second))
            self._second = second
        return f"{self._text},{rest:03d}"


def day_name(time_s: float) -> str:
    """Return the `dd-MMM` of a rotated file's name, such as `07-Nov`."""
    day = time.localtime(time_s)
    return f"{day.tm_mday:02d}-{_MONTHS[day.tm_mon - 1]}"


def end_of_day_s(time_s: float) -> float:
    """Return the local midnight after a time, both in seconds since the epoch."""
    day = time.localtime(time_s)
    # mktime carries day 32 over into the next month, and with -1 finds out about daylight saving itself.
    return time.mktime((day.tm_year, day.tm_mon, day.tm_mday + 1, 0, 0, 0, 0, 0, -1))
