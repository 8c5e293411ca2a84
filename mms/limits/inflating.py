"""Compressed bodies that clients send: small ones are unfolded on the event loop, large ones beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from mms.bodies.inflation import Buffer, Inflation

#: What may be unfolded on the event loop at once, in bytes: about a tenth of a millisecond's work.
SMALL_BYTES = 64 * 1024


class Inflater:
    """Unfolds large bodies one after the other in a thread of its own. Used on the event loop."""

    def __init__(self, max_ratio: float) -> None:
        """`max_ratio`: as `Inflation` has it."""
        self._max_ratio = max_ratio
        self._turn = asyncio.Lock()
        self._thread: ThreadPoolExecutor | None = None

    def __repr__(self) -> str:
        return f"<Inflater, at most {self._max_ratio:g} to 1>"

    def open(self, coding: bytes, data: Buffer, max_bytes: int) -> Inflation:
        """Return the unfolding of a body, which begins with `advance(SMALL_BYTES)`: then most are done."""
        return Inflation(coding, data, max_bytes, self._max_ratio)

    async def finish(self, inflation: Inflation, check: Callable[[], None]) -> bytearray:
        """Return the whole body. `check` raises where it is not wanted any more; it is asked when its turn has come.

        Raises what `check` raises, and as `Inflation.advance`.
        """
        async with self._turn:
            check()
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="inflate")
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._thread, inflation.finish)
        return inflation.result

    def close(self) -> None:
        if self._thread is not None:
            self._thread.shutdown(wait=False)
