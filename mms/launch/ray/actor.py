"""What Ray starts on a node for one worker: an actor whose one method lasts as long as the worker."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mms.launch.nodes.host import run_host

#: Of a node's id, as Ray's own commands show it at least.
_ID_CHARS = 8
#: How long an actor lasts that nobody asks for a worker, as who asked for the actor has ended, in seconds.
_UNUSED_S = 30.0
#: How long it lasts after its worker, in seconds. Who asked for it, or who came after that one, ends it at once.
_LINGER_S = 2.0


class WorkerHost:
    """Nodes import it by its name: they have this package installed."""

    def __init__(self) -> None:
        self._reason = ""
        self._leave = _end_after(_UNUSED_S)

    def run(self, members: Mapping[str, Any], chunks: Mapping[str, Sequence[Any]]) -> str:
        """Run a worker to its end. Return why it has ended.

        `members`: of an Assignment. `chunks`: SHA-256 -> references to what was packed, in Ray's object store.
        """
        import ray

        self._leave.cancel()

        def fetch(digest: str) -> Iterator[bytes]:
            for reference in chunks[digest]:
                yield ray.get(reference)

        address = str(ray.util.get_node_ip_address())
        node = f"{address} ({ray.get_runtime_context().get_node_id()[:_ID_CHARS]})"
        # Ray has hidden the other GPUs from this process: the first one is its own.
        gpu_id = 0 if ray.get_gpu_ids() else None
        try:
            self._reason = _run(run_host(members, fetch, node, gpu_id))
        finally:
            self._leave = _end_after(_LINGER_S)
        return self._reason

    def end_reason(self) -> str:
        """Return what `run` has returned. As an actor does one thing after the other, this takes as long as `run`."""
        return self._reason or "it had no worker"


def _end_after(delay_s: float) -> threading.Timer:
    """Have the process end: nobody else may know of the actor any more."""
    timer = threading.Timer(delay_s, os._exit, (0,))
    timer.daemon = True
    timer.start()
    return timer


def _run(work: Any) -> str:
    """Run a coroutine on uvloop where it exists."""
    try:
        import uvloop
    except ImportError:
        loop = asyncio.new_event_loop()
    else:
        loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        return str(loop.run_until_complete(work))
    finally:
        asyncio.set_event_loop(None)
        loop.close()
