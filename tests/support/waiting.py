"""Waiting for what another thread, process or task brings about; nothing here sleeps longer than it must."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

LIMIT_S = 30.0

T = TypeVar("T")


def eventually(
    what: str, probe: Callable[[], T], timeout_s: float = LIMIT_S, interval_s: float = 0.005
) -> T:
    """Poll until `probe` gives something true and return it; fail with `what` otherwise."""
    deadline = time.monotonic() + timeout_s
    while not (value := probe()):
        if time.monotonic() > deadline:
            raise _too_late(what, value, timeout_s)
        time.sleep(interval_s)
    return value


async def until(
    probe: Callable[[], T], what: str = "the condition holds", timeout_s: float = LIMIT_S
) -> T:
    """`eventually` for coroutines: the loop goes on meanwhile."""
    deadline = time.monotonic() + timeout_s
    while not (value := probe()):
        if time.monotonic() > deadline:
            raise _too_late(what, value, timeout_s)
        await asyncio.sleep(0.005)
    return value


def _too_late(what: str, value: object, timeout_s: float) -> AssertionError:
    return AssertionError(f"not within {timeout_s} s: {what}; last seen: {value!r}")
