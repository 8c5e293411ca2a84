"""Times as answers and records carry them."""

from __future__ import annotations

import time

#: (second, its text): most requests come in a second that was written before.
_last = (-1, "")


def time_text(time_ns: int) -> str:
    """`YYYY-MM-DD HH:MM:SS.ffffff+00:00` of nanoseconds since the epoch."""
    global _last
    second, rest_ns = divmod(time_ns, 1_000_000_000)
    known, text = _last
    if known != second:
        text = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(second))
        _last = (second, text)
    return f"{text}.{rest_ns // 1000:06d}+00:00"
