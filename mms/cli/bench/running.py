"""Runs load tests until they end, or until somebody stops them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

#: The exit code of what was stopped by Ctrl-C, as shells have it.
STOPPED: Final = 130
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_stoppable(work: Callable[[asyncio.Event], Awaitable[T]]) -> T:
    """Run what stops early once its event is set: by Ctrl-C, SIGTERM or SIGHUP. A second one ends it at once."""

    async def run() -> T:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        task = loop.create_task(_finished(work(stop)))

        def on_signal() -> None:
            if stop.is_set():
                task.cancel()
            stop.set()

        for each in _SIGNALS:
            loop.add_signal_handler(each, on_signal)
        try:
            return await task
        finally:
            for each in _SIGNALS:
                loop.remove_signal_handler(each)

    try:
        return _run(run())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _finished(work: Awaitable[T]) -> T:
    return await work


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)
