"""A cluster of real servers, whose owner and whose actors run in this process."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from played_ray import Handle, PlayedRay
from support.client import Address, Client
from support.server import MODELS
from support.waiting import eventually

from mms.cluster.front_host import OWNER
from mms.cluster.owner import Owner

T = TypeVar("T")
NAMESPACE = "mms-test"


class Front:
    """One of the servers."""

    def __init__(self, row: dict[str, Any]) -> None:
        self.name: str = row["name"]
        self.inference = Client(_address(row["addresses"]["inference_address"]))
        self.management = Client(_address(row["addresses"]["management_address"]))

    def workers_of(self, model: str) -> list[dict[str, Any]]:
        return [
            worker
            for worker in self.management.get(f"/models/{model}").json()["workers"]
            if worker["state"] in ("READY", "BUSY")
        ]

    def bounds_of(self, model: str) -> tuple[int, int]:
        described = self.management.get(f"/models/{model}").json()
        return described["minWorkers"], described["maxWorkers"]


def _address(text: str) -> Address:
    return Address(port=int(text.rpartition(":")[2]))


class TestCluster:
    """Runs an event loop in a thread: tests are clients."""

    __test__ = False

    def __init__(self, folder: Path, *, nodes: int = 3, journal: str | None = None) -> None:
        self.store = folder / "store"
        shutil.copytree(MODELS, self.store, ignore=shutil.ignore_patterns("__pycache__"))
        self.ray = PlayedRay(nodes)
        self._journal = journal
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.begin_owner()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def in_loop(self, work: Callable[[], T]) -> T:
        async def do() -> T:
            return work()

        return self.run(do())

    def begin_owner(self) -> Handle:
        """Start an owner, as Ray does anew where one has died."""
        return self.in_loop(lambda: self.ray.begin(OWNER, Owner, (NAMESPACE, self._journal)))

    def kill(self, name: str) -> None:
        """Kill an actor."""
        handle = self.ray.actors[name]
        self.in_loop(handle.die)

    def owner(self, method: str, *arguments: Any) -> Any:
        async def ask() -> Any:
            return await getattr(self.ray.get_actor(OWNER), method).remote(*arguments)

        return self.run(ask())

    def configure(self, count: int, *, shares_nodes: bool = True, **settings: str) -> None:
        self.owner(
            "configure",
            {
                "count": count,
                "settings": {
                    "model_store": str(self.store),
                    "launcher": "process",
                    "worker_address": "127.0.0.1:0",
                    "state_file": "",
                    **settings,
                },
                "any_port": {
                    "inference_address": "http://127.0.0.1",
                    "management_address": "http://127.0.0.1",
                },
                "shares_nodes": shares_nodes,
                "drain_s": 5.0,
            },
        )

    def rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.owner("status")["fronts"]
        return rows

    def fronts(self, count: int) -> list[Front]:
        """Return the fronts once so many serve and share the workers."""

        def look() -> list[dict[str, Any]]:
            rows = self.rows()
            are_up = len(rows) == count and all(
                row["state"] == "UP" and row.get("isHeard") for row in rows
            )
            return rows if are_up else []

        return [Front(row) for row in eventually(f"{count} fronts are up", look, 40)]

    def close(self) -> None:
        if self._loop.is_closed():
            return
        if OWNER not in self.ray.list_named_actors():
            self.begin_owner()
        self.owner("end")
        self.kill(OWNER)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
