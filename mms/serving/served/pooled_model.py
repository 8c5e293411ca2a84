"""A model whose requests wait in a queue for its workers."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from archiver import Component
from archiver.model_config import WorkerBounds
from mms import faults
from mms.core import Pool, Request, SequencedVersion, Worker, WorkerState, recovery
from mms.core.residency.footprint import ModelMemory
from mms.core.scaling.policy import ScalingPolicy
from mms.errors import BadRequest
from mms.interfaces import AUTO, INTERFACES, part
from mms.launch.choice import PEER
from mms.serving.dispatcher import Dispatcher
from mms.serving.served.place import DeploymentPlace
from mms.serving.served.served_model import ServedModel
from mms.serving.workers.runner import WorkerRunner
from mms.wire import UrlRules

_registrations = itertools.count(1)

_WORKER_STATES = {
    WorkerState.STARTING: "is starting",
    WorkerState.LOADING: "is loading the model",
    WorkerState.BACKOFF: "has ended and waits for its next start",
    WorkerState.DRAINING: "is ending",
}


def new_key() -> str:
    """Return what tells a registration from all others, also from the next one of the same name."""
    return f"registration-{next(_registrations)}"


@dataclass(slots=True, eq=False, kw_only=True, repr=False)
class PooledModel(ServedModel):
    """A model with workers of its own."""

    pool: Pool
    #: How many workers all fronts of a cluster are to have; None without a cluster, and its pool says it.
    wanted: WorkerBounds | None = None
    dispatcher: Dispatcher
    #: Of a model that a graph has for a node: which one.
    node: DeploymentPlace | None = None
    #: By which rules its workers read the files and addresses that its registration names; None: by none.
    path_rules: UrlRules | None = None
    #: What its archive's `model-config.yaml` says, for its handler.
    model_config: dict[str, Any] = field(default_factory=dict)
    #: Of this registration, and of its workers' environment, alone.
    key: str = field(default_factory=new_key)
    #: Decides how many workers it has by its load, where it may have more or fewer.
    scaling: ScalingPolicy = field(default_factory=ScalingPolicy)
    #: Its part of the memory, where that is limited.
    memory: ModelMemory | None = None
    runners: dict[Worker, WorkerRunner] = field(default_factory=dict)
    #: The workers on their way out, until a call has waited for them.
    stopping: list[asyncio.Future[Any]] = field(default_factory=list)
    #: Whether a worker has ever loaded it.
    has_loaded: bool = False
    #: A registration waits for it, and takes it away when a worker cannot load it.
    is_awaited: bool = False

    # Requests

    def submit(self, request: Request) -> None:
        self.dispatcher.submit(self.model, request)

    def check_room(self) -> None:
        self.model.check_room()

    async def learn_interface(self) -> None:
        if self.interface != AUTO or not self.is_on_demand:
            return
        self.model.demand_worker()
        attempts = [
            asyncio.ensure_future(runner.wait_attempt()) for runner in self.runners.values()
        ]
        if attempts:
            await asyncio.wait(attempts, return_when=asyncio.FIRST_COMPLETED)

    def cancel(self, request: Request) -> None:
        # Whoever cancels has other requests to cancel, too.
        with faults.contained("cancel", self.name, self.version):
            worker = self.model.cancel(request, time.monotonic())
            if worker is not None and worker.link is not None:
                worker.link.cancel([request.id.decode("ascii")])
        request.is_done = True

    def has(self, request: Request) -> bool:
        return self.model.has(request)

    async def drain(self, timeout_s: float) -> bool:
        self.model.is_closed = True
        self.pool.scale(0, 0)
        runners = list(self.runners.values())
        if not runners:
            recovery.fail_queue(self.model)
            return True
        self.dispatcher.dispatch(self.model)
        stops = [
            asyncio.get_running_loop().create_task(runner.stop(timeout_s)) for runner in runners
        ]
        results = await asyncio.gather(*stops)
        recovery.fail_queue(self.model)
        return all(results)

    def reopen(self) -> None:
        self.model.is_closed = False

    # What it is

    @property
    def kind(self) -> str:
        return "flow" if self.reads_paths else "model"

    @property
    def runs_on_nodes(self) -> bool:
        """Whether its workers take room of a cluster, and not of this machine."""
        return self.effective.launcher == "ray"

    @property
    def is_ready(self) -> bool:
        """Some worker has loaded; or it is loaded on demand, and nothing says that it cannot be."""
        return self.is_loaded or self._is_loaded_on_demand

    @property
    def is_loaded(self) -> bool:
        """Some worker has loaded, and takes requests."""
        return any(
            worker.state is WorkerState.READY and worker.is_model_ready for worker in self.workers
        )

    @property
    def has_own_workers(self) -> bool:
        """Some worker of this very server has loaded, and not only one that another front lends."""
        return any(
            worker.state is WorkerState.READY and runner.running.launcher != PEER
            for worker, runner in self.runners.items()
        )

    @property
    def _is_loaded_on_demand(self) -> bool:
        model = self.model
        if not self.is_on_demand or model.is_closed:
            return False
        return model.has_coming_worker or (
            not model.has_active_worker and model.load_backoff.may_load(time.monotonic())
        )

    @property
    def is_wanted(self) -> bool:
        return self.pool.min_workers > 0

    def problems(self) -> list[str]:
        if self.is_ready:
            return []
        name = f"Model {self.name}" + (f" {self.version}" if self.version else "")
        problems = []
        for worker in self.workers:
            reason = f" ({worker.reason})" if worker.reason else ""
            if worker.state is WorkerState.READY:
                problems.append(
                    f"{name}: worker {worker.name} runs, its model is not loaded{reason}."
                )
            elif worker.state in _WORKER_STATES:
                problems.append(
                    f"{name}: worker {worker.name} {_WORKER_STATES[worker.state]}{reason}."
                )
        backoff = self.model.load_backoff
        if not problems and backoff.reason:
            problems.append(
                f"{name} could not be loaded ({backoff.reason}); next try in {backoff.wait_s} seconds."
            )
        return problems or [f"{name} has no workers."]

    @property
    def is_composite(self) -> bool:
        return False

    @property
    def reads_paths(self) -> bool:
        return self.options.is_worker_graph

    def uses(self, name: str) -> bool:
        return any(part.name == name for part in self.parts)

    @property
    def min_workers(self) -> int:
        return self.pool.min_workers if self.wanted is None else self.wanted.least

    @property
    def max_workers(self) -> int:
        return self.pool.max_workers if self.wanted is None else self.wanted.most

    @property
    def gpus(self) -> Sequence[int]:
        return self.pool.gpus

    @property
    def load_timeout_s(self) -> float:
        """The most that a load may take, in seconds; infinite where it has no limit."""
        timeout_s = self.effective.load_timeout_s
        if timeout_s is None:
            return self.model.config.response_timeout_s
        return timeout_s or math.inf

    def describe_sequences(self) -> dict[str, Any]:
        model = self.model
        if not isinstance(model, SequencedVersion):
            return {}
        return {"sequences": model.describe_sequences(time.monotonic())}

    def describe_share(self) -> dict[str, Any]:
        if self.wanted is None:
            return {}
        workers = [runner for worker, runner in self.runners.items() if worker in self.pool.active]
        borrowed = sum(1 for runner in workers if runner.running.launcher == PEER)
        return {
            "ofThisFront": {
                "minWorkers": self.pool.min_workers,
                "maxWorkers": self.pool.max_workers,
                "borrowedWorkers": borrowed,
            }
        }

    def describe_memory(self) -> dict[str, Any]:
        memory = self.memory
        if memory is None:
            return {}
        arrivals = self.model.arrivals
        memory.use.observe(arrivals.total, arrivals.last_at)
        described: dict[str, Any] = {
            "residentBytes": memory.resident_bytes,
            **({"gpuBytes": memory.gpu_bytes} if memory.gpu_bytes else {}),
            "loadedBytes": memory.footprint.loaded_bytes,
            "peakBytes": memory.footprint.peak_bytes,
            "loadSeconds": round(memory.footprint.load_s, 3),
            "evictions": memory.evictions.total(),
            "pinned": bool(self.effective.pinned),
        }
        if memory.use.used_at:
            used_at = time.time() - (time.monotonic() - memory.use.used_at)
            described["lastUsed"] = datetime.fromtimestamp(used_at, timezone.utc).isoformat(
                timespec="milliseconds"
            )
        return {"memory": described}

    # What its workers are told

    @property
    def places(self) -> dict[str, DeploymentPlace]:
        """What it is in a deployment, by the interfaces that have such places."""
        return {
            interface.name: part(interface.place).alone(self.name)
            if self.node is None
            else self.node
            for interface in INTERFACES
            if interface.place
        }

    @property
    def parameters(self) -> tuple[dict[str, Any], ...]:
        """The model's own, and over them those of the graph that has it for a node."""
        own = self.options.component
        if self.node is None or not self.node.arguments:
            return own.parameters
        of_node = tuple(dict(parameter) for parameter in self.node.arguments)
        return own.overridden(Component(parameters=of_node)).parameters


def pooled_models(served: ServedModel) -> list[PooledModel]:
    """Return the models with workers that come and go with a model, itself last."""
    models = [model for part in served.parts for model in pooled_models(part)]
    return [*models, served] if isinstance(served, PooledModel) else models


def with_workers(served: ServedModel, doing: str) -> PooledModel:
    """Return a model to change its workers. Raises BadRequest where it has none; `doing`: what was to be done."""
    if isinstance(served, PooledModel):
        return served
    raise BadRequest(f"{served.name} is a graph, which has no workers; {doing} its nodes' models.")
