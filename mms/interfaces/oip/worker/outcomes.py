"""Calls of a model's code, several at a time where they are coroutines: what they return, or what they raised."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from mms.worker.running.awaiting import is_awaitable, wait_for

#: What a call returned, or the exception that it raised.
Outcome: TypeAlias = Any


def outcome_of(call: Callable[..., Any], *arguments: Any) -> Outcome:
    """Return what a call returns, perhaps an awaitable, or the exception that it raises; raise MemoryError itself."""
    try:
        return call(*arguments)
    except MemoryError:
        raise
    except Exception as error:
        return error


def awaited(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Return them with what awaitables come to in their place. These run side by side."""
    found = list(outcomes)
    places = [place for place, outcome in enumerate(found) if is_awaitable(outcome)]
    if places:
        for place, outcome in zip(places, wait_for(_all(found, places)), strict=True):
            if isinstance(outcome, BaseException) and not isinstance(outcome, Exception):
                raise outcome
            if isinstance(outcome, MemoryError):
                raise outcome
            found[place] = outcome
    return found


async def _all(awaitables: list[Any], places: list[int]) -> list[Any]:
    # Here, as most models have no use for it.
    import asyncio

    return await asyncio.gather(*(awaitables[place] for place in places), return_exceptions=True)
