"""Hooks that are coroutines: run on one event loop, which has a thread of its own."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_thread: threading.Thread | None = None
_pid = 0


def wait_for(awaitable: Any) -> Any:
    """Return what an awaitable comes to. Tasks that it leaves behind go on."""
    import asyncio

    loop, thread = _running_loop()
    if threading.current_thread() is thread:
        # A coroutine's code asked another one without awaiting it: the loop cannot wait for itself.
        return _on_another_thread(awaitable)
    future = asyncio.run_coroutine_threadsafe(_awaited(awaitable), loop)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


def _running_loop() -> tuple[asyncio.AbstractEventLoop, threading.Thread]:
    global _loop, _thread, _pid
    import asyncio

    with _lock:
        # A fork takes the loop along, but not its thread.
        if _loop is None or _thread is None or _pid != os.getpid():
            _loop = asyncio.new_event_loop()
            _thread = threading.Thread(target=_loop.run_forever, name="mlrun-async", daemon=True)
            _pid = os.getpid()
            _thread.start()
        return _loop, _thread


def _on_another_thread(awaitable: Any) -> Any:
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, _awaited(awaitable)).result()
