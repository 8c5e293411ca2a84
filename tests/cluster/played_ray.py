"""Ray as far as a cluster of fronts uses it, played on one event loop: actors are objects, their servers are real."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import pytest


class ActorDied(Exception):
    """Stands for ray.exceptions.RayActorError."""


class Handle:
    """What Ray returns for an actor. Arguments and results are copies, as those that travel."""

    def __init__(self, ray: PlayedRay, name: str, actor: Any) -> None:
        self.ray = ray
        self.name = name
        self.actor = actor
        self.is_dead = False
        self.calls: set[asyncio.Task[Any]] = set()

    def __getattr__(self, name: str) -> Any:
        return _Method(self, name)

    async def call(self, name: str, arguments: tuple[Any, ...]) -> Any:
        if self.is_dead:
            raise ActorDied(f"{self.name} is dead")
        _CURRENT.set(self.ray)
        doing = asyncio.ensure_future(
            getattr(self.actor, name)(*pickle.loads(pickle.dumps(arguments)))
        )
        self.calls.add(doing)
        doing.add_done_callback(self.calls.discard)
        try:
            return pickle.loads(pickle.dumps(await doing))
        except asyncio.CancelledError:
            doing.cancel()
            if self.is_dead:
                raise ActorDied(f"{self.name} has died") from None
            raise

    def die(self) -> None:
        """Have it end as a process that is killed: nothing of it goes on, and its sockets close."""
        self.is_dead = True
        for value in vars(self.actor).values():
            tasks = value if isinstance(value, list | set) else [value]
            for task in tasks:
                if isinstance(task, asyncio.Task):
                    task.cancel()
        channel = getattr(self.actor, "_channel", None)
        if channel is not None:
            channel.close()
        for doing in self.calls:
            doing.cancel()


class _Method:
    def __init__(self, handle: Handle, name: str) -> None:
        self._handle = handle
        self._name = name

    def remote(self, *arguments: Any) -> asyncio.Task[Any]:
        return asyncio.get_running_loop().create_task(self._handle.call(self._name, arguments))


class PlayedRay:
    """The module `ray`, and what tests do to its cluster."""

    def __init__(self, nodes: int) -> None:
        self.actors: dict[str, Handle] = {}
        self.node_ids = [f"node-{number}" for number in range(1, nodes + 1)]
        self._free = list(self.node_ids)
        self.util = self
        self.scheduling_strategies = self

    def NodeAffinitySchedulingStrategy(self, node: str, soft: bool) -> str:  # Ray's name
        return node

    def nodes(self) -> list[dict[str, Any]]:
        return [{"NodeID": n, "Alive": True, "Resources": {"CPU": 4}} for n in self.node_ids]

    def get_node_ip_address(self) -> str:
        return "127.0.0.1"

    def get_actor(self, name: str, namespace: str = "") -> Handle:
        handle = self.actors.get(name)
        if handle is None or handle.is_dead:
            raise ValueError(f"no actor named {name}")
        return handle

    def list_named_actors(self) -> list[str]:
        return [name for name, handle in self.actors.items() if not handle.is_dead]

    def remote(self, kind: type) -> Any:
        played = self

        class Starter:
            def options(self, **options: Any) -> Starter:
                self._options = options
                return self

            def remote(self, *arguments: Any) -> Handle:
                strategy = self._options["scheduling_strategy"]
                return played.begin(self._options["name"], kind, arguments, strategy)

        return Starter()

    def begin(self, name: str, kind: type, arguments: tuple[Any, ...], node: str = "") -> Handle:
        actor = kind(*arguments)
        if hasattr(actor, "_node"):
            actor._node = node if node in self.node_ids else self.node_ids[len(self.actors) % 2]
        handle = self.actors[name] = Handle(self, name, actor)
        return handle

    def kill(self, handle: Handle) -> None:
        handle.die()

    def get_runtime_context(self) -> Any:
        return self

    @property
    def gcs_address(self) -> str:
        return "127.0.0.1:1"


#: Whose actor runs: several clusters may be played at once.
_CURRENT: ContextVar[PlayedRay] = ContextVar("played_ray")


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """Have `import ray` find the cluster that the importing actor is in."""

    class Module(ModuleType):
        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return getattr(_CURRENT.get(), name)

    with pytest.MonkeyPatch.context() as patch:
        for name in ("ray", "ray.util", "ray.util.scheduling_strategies"):
            patch.setitem(sys.modules, name, Module(name))
        yield
