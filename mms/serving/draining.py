"""The end of all models together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from mms.serving.served import ServedModel


async def drain_models(every: Sequence[ServedModel], timeout_s: float) -> bool:
    """Have models answer what they have accepted, and stop. Return whether the time was enough for all."""
    started = time.monotonic()
    is_clean = True
    left_s = timeout_s
    # What is accepted may still ask other models: graphs their nodes, workers of a flow its parts.
    for leaving in (
        [served for served in every if served.is_composite],
        [served for served in every if served.parts and not served.is_composite],
        [served for served in every if not served.parts and not served.is_composite],
    ):
        results = await asyncio.gather(*(served.drain(left_s) for served in leaving))
        is_clean = is_clean and all(results)
        left_s = max(timeout_s - (time.monotonic() - started), 0.0)
    return is_clean
