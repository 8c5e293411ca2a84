"""The actors of the fronts: found, started on nodes, watched and ended by the owner."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from mms.cluster.front_spec import FrontSpec

logger = logging.getLogger("mms.cluster")

_PREFIX: Final = "front-"
#: Until a front that has ended is started anew, in seconds; it doubles with each end before it was up.
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
#: What Ray gets to say of an actor, in seconds.
_ASK_S: Final = 5.0
#: What a front gets to end beyond its draining, in seconds.
_FAREWELL_S: Final = 10.0


@dataclass(slots=True, eq=False)
class _Front:
    """A front that is wanted. `actor` None: there is none yet, or none any more."""

    name: str
    actor: Any = None
    #: Of the FrontSpec that it was started by.
    spec_number: int = -1
    node: str = ""
    state: str = "WAITING"
    reason: str = ""
    starts: int = 0
    pause_s: float = _FIRST_PAUSE_S
    next_at: float = 0.0
    following: asyncio.Task[None] | None = None
    ending: asyncio.Task[None] | None = None
    #: Seconds of this machine's clock at which it was up.
    up_at: float | None = field(default=None)

    @property
    def number(self) -> int:
        return int(self.name.removeprefix(_PREFIX))


OnGone = Callable[[str], None]


class FrontActors:
    """Owned by the owner's event loop."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._fronts: dict[str, _Front] = {}

    def __repr__(self) -> str:
        return f"<FrontActors of {self._namespace}, {len(self._fronts)} fronts>"

    def describe(self) -> list[dict[str, Any]]:
        rows = []
        for front in sorted(self._fronts.values(), key=lambda each: each.number):
            row: dict[str, Any] = {"name": front.name, "state": front.state, "node": front.node}
            if front.reason:
                row["reason"] = front.reason
            row["starts"] = front.starts
            rows.append(row)
        return rows

    async def find(self, on_gone: OnGone) -> dict[str, dict[str, Any]]:
        """Find the fronts that an earlier owner has started: name -> members of the spec that each was started by."""
        import ray

        found: dict[str, dict[str, Any]] = {}
        named = await asyncio.to_thread(ray.util.list_named_actors)
        for name in named:
            if not name.startswith(_PREFIX) or name in self._fronts:
                continue
            front = _Front(name)
            try:
                front.actor = await asyncio.to_thread(ray.get_actor, name)
                told = await asyncio.wait_for(front.actor.describe.remote(), _ASK_S)
            except Exception as error:
                logger.warning("%s is there and says nothing: %s", name, error)
                continue
            front.node, front.spec_number = told["node"], told["spec"].get("number", -1)
            front.state, front.starts = told["state"], 1
            self._fronts[name] = front
            self._follow(front, on_gone)
            found[name] = told["spec"]
        return found

    async def adjust(self, spec: FrontSpec, on_gone: OnGone) -> None:
        """Have as many fronts as are wanted, each on a node of its own where that matters."""
        for number in range(1, spec.count + 1):
            self._fronts.setdefault(f"{_PREFIX}{number}", _Front(f"{_PREFIX}{number}"))
        for front in list(self._fronts.values()):
            if front.number > spec.count:
                self._begin_end(front, spec, "is not wanted any more")
            elif front.actor is None and front.ending is None and front.next_at <= time.monotonic():
                await self._start(front, spec, on_gone)
        self._replace_one(spec)

    def _replace_one(self, spec: FrontSpec) -> None:
        """End one front that was started otherwise than is wanted now, if all others serve."""
        fronts = [front for front in self._fronts.values() if front.number <= spec.count]
        stale = [f for f in fronts if f.actor is not None and f.spec_number != spec.number]
        # One that does not come up is replaced whatever others do: it may be what was mended.
        broken = [f for f in stale if f.state != "UP"]
        if broken:
            self._begin_end(broken[0], spec, "is started anew")
        elif stale and all(front.state == "UP" for front in fronts):
            self._begin_end(stale[0], spec, "is started anew")

    async def _start(self, front: _Front, spec: FrontSpec, on_gone: OnGone) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        from mms.cluster.front_host import FrontHost

        strategy: Any = "SPREAD"
        if not spec.shares_nodes:
            node = await asyncio.to_thread(self._free_node)
            if node is None:
                front.state, front.reason = "WAITING", "waiting for a node that has no front yet"
                return
            strategy = NodeAffinitySchedulingStrategy(node, soft=False)
            front.node = node
        front.state, front.reason = "STARTING", ""
        front.spec_number = spec.number
        front.starts += 1
        front.up_at = None
        # It keeps a CPU of the node from workers; what it takes is about that.
        front.actor = (
            ray.remote(FrontHost)
            .options(
                name=front.name,
                namespace=self._namespace,
                lifetime="detached",
                num_cpus=0,
                max_restarts=0,
                max_concurrency=64,
                scheduling_strategy=strategy,
            )
            .remote(front.name, self._namespace, spec.to_members())
        )
        self._follow(front, on_gone)

    def _free_node(self) -> str | None:
        """Return the id of a living node without a front, the one with most CPUs."""
        import ray

        taken = {front.node for front in self._fronts.values() if front.actor is not None}
        free = [
            node for node in ray.nodes() if node.get("Alive") and node.get("NodeID") not in taken
        ]
        free.sort(key=lambda node: node.get("Resources", {}).get("CPU", 0), reverse=True)
        return str(free[0]["NodeID"]) if free else None

    def _follow(self, front: _Front, on_gone: OnGone) -> None:
        front.following = asyncio.get_running_loop().create_task(self._following(front, on_gone))

    async def _following(self, front: _Front, on_gone: OnGone) -> None:
        """Note what becomes of a front until its actor has ended."""
        actor = front.actor
        reason = "it has ended"
        try:
            seen = -1
            while True:
                # Each call waits until something has changed.
                told = await actor.changed.remote(seen)
                seen = told["number"]
                front.node, front.state, front.reason = told["node"], told["state"], told["reason"]
                if front.state == "UP":
                    front.pause_s, front.up_at = _FIRST_PAUSE_S, time.monotonic()
        except Exception as error:
            reason = " ".join(str(error).split())[:300] or type(error).__name__
        if front.actor is not actor:
            return
        front.actor, front.state, front.node = None, "ENDED", ""
        front.reason = reason
        front.next_at = time.monotonic() + front.pause_s
        front.pause_s = min(2 * front.pause_s, _LONGEST_PAUSE_S)
        if front.ending is None:
            logger.warning("%s has ended: %s. It is started anew.", front.name, reason)
        on_gone(front.name)

    def _begin_end(self, front: _Front, spec: FrontSpec, why: str) -> None:
        if front.ending is None:
            logger.info("%s %s.", front.name, why)
            is_dropped = front.number > spec.count
            front.ending = asyncio.get_running_loop().create_task(
                self._end(front, spec.drain_s, is_dropped)
            )

    async def _end(self, front: _Front, drain_s: float, is_dropped: bool) -> None:
        import ray

        actor = front.actor
        try:
            if actor is not None:
                front.state = "ENDING"
                try:
                    await asyncio.wait_for(actor.end.remote(), drain_s + _FAREWELL_S)
                except Exception as error:
                    logger.info("%s did not end in order: %s", front.name, error)
                await asyncio.to_thread(ray.kill, actor)
                if front.following is not None:
                    await asyncio.wait((front.following,), timeout=_FAREWELL_S)
            front.actor = None
            front.next_at, front.pause_s = 0.0, _FIRST_PAUSE_S
        finally:
            front.ending = None
            if is_dropped:
                self._fronts.pop(front.name, None)

    async def end_all(self, drain_s: float) -> None:
        """End all fronts at once, each after what it has accepted."""
        fronts = list(self._fronts.values())
        await asyncio.gather(*(self._end(front, drain_s, True) for front in fronts))
