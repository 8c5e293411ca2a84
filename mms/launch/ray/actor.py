"""What Ray starts on a node for one worker: an actor whose one method lasts as long as the worker."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mms.launch.nodes.assignment import Assignment
from mms.launch.nodes.host import run_host

#: Of a node's id, as Ray's own commands show it at least.
_ID_CHARS = 8


class WorkerHost:
    """Nodes import it by its name: they have this package installed."""

    def run(self, members: Mapping[str, Any], chunks: Mapping[str, Sequence[Any]]) -> str:
        """Run a worker to its end. Return why it has ended.

        `members`: of an Assignment. `chunks`: SHA-256 -> references to what was packed, in Ray's object store.
        """
        import ray

        def fetch(digest: str) -> Iterator[bytes]:
            for reference in chunks[digest]:
                yield ray.get(reference)

        address = str(ray.util.get_node_ip_address())
        node = f"{address} ({ray.get_runtime_context().get_node_id()[:_ID_CHARS]})"
        # Ray has hidden the other GPUs from this process: the first one is its own.
        gpu_id = 0 if ray.get_gpu_ids() else None
        return _run(run_host(Assignment.of_members(members), fetch, node, gpu_id))


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
