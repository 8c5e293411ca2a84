"""Operations on models that go on to their end, whether or not the client stays that has asked for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from mms.errors import ServerError
from mms.serving.options import Outcome

logger = logging.getLogger("mms.serving")


class Operations:
    """Owner of those that are under way."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Outcome]] = set()

    def __repr__(self) -> str:
        return f"<Operations, {len(self._tasks)} under way>"

    async def whole(self, operation: Coroutine[Any, Any, Outcome]) -> Outcome:
        """Run an operation to its end: a half would leave workers or files behind. Raises as it does."""
        task = asyncio.get_running_loop().create_task(operation)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_tell_without_client)
            raise

    async def close(self) -> None:
        """Cancel what is still under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _tell_without_client(task: asyncio.Task[Outcome]) -> None:
    if task.cancelled():
        return
    error = task.exception()
    if error is None:
        logger.info("%s (the client that asked for it has gone)", task.result().text)
    elif isinstance(error, ServerError):
        logger.warning("%s (the client that asked for it has gone)", error.message)
    else:
        logger.error("An operation whose client has gone failed", exc_info=error)
