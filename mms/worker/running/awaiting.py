"""Entry points that are coroutines: run on one event loop, which lives as long as the worker."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

_loop: asyncio.AbstractEventLoop | None = None
_loop_pid = 0


def is_awaitable(value: Any) -> bool:
    return hasattr(type(value), "__await__")


def wait_for(awaitable: Any) -> Any:
    """Return the result of an awaitable. Tasks that it leaves behind go on while the next one is awaited."""
    return event_loop().run_until_complete(awaitable)


def event_loop() -> asyncio.AbstractEventLoop:
    """Return the loop of this process."""
    global _loop, _loop_pid
    import asyncio

    # A loop that was made before a fork shares its poll descriptor with other processes: not to be touched again.
    if _loop is None or _loop_pid != os.getpid():
        _loop = asyncio.new_event_loop()
        _loop_pid = os.getpid()
        asyncio.set_event_loop(_loop)
    return _loop
