"""Many clients who manage the same few models at once: whatever the order, each model is whole or gone."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest
from support.client import Reply, in_parallel
from support.processes import command_line, started_by
from support.server import Server, manifest
from support.waiting import eventually

from .models import write_archive

_CLIENTS = 50
_NAMES = [f"contested-{number}" for number in range(4)]
_FUNCTIONS = [f"function-{number}" for number in range(2)]
#: Both functions bring a model of this name.
_CHILD = "contested-child"
_FUNCTION_CODE = """
import mlrun
class Model(mlrun.serving.V2ModelServer):
    def load(self): pass
    def predict(self, request): return request["inputs"]
"""
_FAILS = "import time\ntime.sleep(0.05)\nraise ImportError('no such library')\n"
#: What clients may be told of each operation. 409: taken, or gone while it loaded; 500: it cannot load.
_OUTCOMES = {
    "register": {200, 202, 210, 409, 500},
    "scale": {200, 202, 210, 404, 409, 500},
    "delete": {200, 404},
}


class Tally:
    """How often each name was registered, less how often it was unregistered, by what clients were answered."""

    def __init__(self, server: Server, seed: int) -> None:
        self.server = server
        self.seed = seed
        self.left: Counter[str] = Counter()

    def run(self, client: int, count: int) -> None:
        draw = random.Random(self.seed * 1000 + client)
        for _ in range(count):
            name = draw.choice(_NAMES * 3 + _FUNCTIONS + [_CHILD])
            operation = draw.choice(["register"] * 4 + ["scale"] * 2 + ["delete"] * 3)
            reply = getattr(self, f"_{operation}")(name, draw)
            allowed = _OUTCOMES[operation]
            if name == _CHILD:
                # While it belongs to a function, nobody removes it alone.
                allowed = allowed | {409}
            if name in _FUNCTIONS and operation == "scale":
                allowed = allowed | {400}
            assert reply.status in allowed, (self.seed, operation, name, reply)

    def _register(self, name: str, draw: random.Random) -> Reply:
        waits = draw.choice(["true", "false"])
        if name in _FUNCTIONS:
            spec = {"graph": {"kind": "router", "routes": {_CHILD: {"class_name": "Model"}}}}
            spec |= {"code": _FUNCTION_CODE, "filename": "function.py"}
            document = {"model_name": name, "serving_spec": spec, "initial_workers": 1}
            reply = self.server.management.post_json("/models", document | {"synchronous": waits})
        else:
            url = draw.choice(["racing.tar.gz"] * 5 + ["fails"])
            reply = self.server.register(
                url,
                model_name=name,
                initial_workers=draw.choice([1, 2]),
                synchronous="true" if url == "fails" else waits,
                preload_model=draw.choice(["false", "false", "true"]),
            )
        if reply.status in (200, 202, 210) or "was unregistered while" in reply.text:
            self.left[name] += 1
        return reply

    def _scale(self, name: str, draw: random.Random) -> Reply:
        path = f"/models/{name}?min_worker={draw.choice([0, 1, 2])}"
        return self.server.management.put(f"{path}&synchronous={draw.choice(['true', 'false'])}")

    def _delete(self, name: str, draw: random.Random) -> Reply:
        reply = self.server.unregister(name)
        if reply.status == 200:
            self.left[name] -= 1
        return reply


def names_of(server: Server) -> set[str]:
    return {model["modelName"] for model in server.management.get("/models").json()["models"]}


def is_settled(server: Server) -> bool:
    """Whether all models have the workers that they should, and each process is one, guards one or forks some."""
    described = [server.describe(name) for name in names_of(server)]
    workers = [worker for model in described for worker in model["workers"]]
    if any(len(model["workers"]) != model["minWorkers"] for model in described):
        return False
    if any(worker["state"] not in ("READY", "BUSY") for worker in workers):
        return False
    pids = {worker["pid"] for worker in workers}
    processes = processes_of(server)
    with contextlib.suppress(psutil.NoSuchProcess):
        parents = {process.ppid() for process in processes}
        # Whatever has children guards them, or is what they are forked from.
        leaves = {process.pid for process in processes} - parents
        return pids <= {process.pid for process in processes} and leaves <= pids
    return False


def processes_of(server: Server) -> list[psutil.Process]:
    """Workers and what guards them, all below the supervisor. The fork server stays."""
    supervisor = started_by(server.pid, "supervisor_process.py")
    processes = supervisor.children(recursive=True)
    staying: set[int] = set()
    for process in processes:
        if "--fork-server" in command_line(process):
            with contextlib.suppress(psutil.NoSuchProcess):
                staying |= {process.pid, process.ppid()}
    return [process for process in processes if process.pid not in staying]


@pytest.mark.timeout(300)
def test_no_order_of_registering_scaling_and_unregistering_loses_a_model_or_leaves_a_worker(
    start_server: Callable[..., Server], is_full: bool
) -> None:
    server = start_server({"unregister_model_timeout": "60"})
    write_archive(server, "racing")
    server.write_model("fails", _FAILS, manifest("fails"))
    for seed in range(20 if is_full else 1):
        tally = Tally(server, seed)
        in_parallel([partial(tally.run, number, 6 if is_full else 4) for number in range(_CLIENTS)])
        kept = {name for name, count in tally.left.items() if count}
        assert set(tally.left.values()) <= {0, 1}, (seed, tally.left)
        brought = {_CHILD} if kept & set(_FUNCTIONS) else set()
        assert names_of(server) == kept | brought, (seed, tally.left)

        for name in kept - set(_FUNCTIONS):
            # A parent of forked workers may be left without any. A model that cannot load stays where somebody has
            # scaled it to none while its registration waited.
            workers = 0 if server.describe(name)["modelUrl"] == "fails" else 1
            path = f"/models/{name}?min_worker={workers}&synchronous=true"
            reply = server.management.put(path)
            assert reply.status == 200, reply
        eventually("all processes are workers of models", lambda: is_settled(server))
        for name in kept:
            assert server.unregister(name).status == 200
        # What workers are forked from stays, in one pair of processes.
        eventually("no worker is left", lambda: len(processes_of(server)) <= 2)
        assert not any("--connect" in process.cmdline() for process in processes_of(server))
        assert not names_of(server)
        assert not list(Path(server.temporary).glob(".mms-*/models/*"))
