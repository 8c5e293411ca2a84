"""A registered model version with all that belongs to it, and how it is described."""

from __future__ import annotations

import asyncio
import itertools
import math
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from archiver import Component, Manifest
from archiver.model_config import WorkerBounds
from mms.core import ModelVersion, Pool, Request, Worker, WorkerState
from mms.errors import ServiceUnavailable
from mms.interfaces.seldon.front.deployed_unit import DeployedUnit
from mms.repository import FetchedArchive, ModelFiles
from mms.serving.options import RegisterOptions
from mms.serving.registration.model_options import ModelOptions
from mms.serving.served.composite_model import FrontModel
from mms.serving.tracking.model_tracking import ModelTracking
from mms.serving.workers.requirements import ModelRequirements
from mms.serving.workers.runner import LoadOutcome, WorkerRunner

if TYPE_CHECKING:
    from mms.settings import Settings

_registrations = itertools.count(1)

#: What MMS's clients know: a worker is READY, LOADING or UNLOADING.
_STATUS = {
    WorkerState.STARTING: "LOADING",
    WorkerState.LOADING: "LOADING",
    WorkerState.READY: "READY",
    WorkerState.BUSY: "READY",
    WorkerState.BACKOFF: "LOADING",
    WorkerState.DRAINING: "UNLOADING",
    WorkerState.FAILED: "UNLOADING",
    WorkerState.STOPPED: "UNLOADING",
}


def new_key() -> str:
    return f"registration-{next(_registrations)}"


@dataclass(slots=True, eq=False)
class ServedModel:
    """One registered version: its archive, what the registration asked for, its queue and its workers."""

    model: ModelVersion
    pool: Pool
    url: str
    archive: FetchedArchive
    manifest: Manifest
    handler: str
    runtime: str
    options: ModelOptions
    #: What it runs as: what was registered and changed since, with all defaults.
    effective: RegisterOptions
    #: The contract that the model's code is written to; `auto` where only a worker can find it, until it has.
    interface: str = "auto"
    #: What its `model_uri` names, once fetched.
    model_files: ModelFiles | None = None
    #: The packages that its archive asks for, where they are installed.
    requirements: ModelRequirements | None = None
    is_loaded_at_startup: bool = False
    #: By which rules its workers read the places that its registration names; None: by none.
    named_places: dict[str, Any] | None = None
    #: What it was registered with, of a model that a state file keeps.
    registration: RegisterOptions | None = None
    #: The entry of `load_models` that it comes from: (name, url).
    startup_source: tuple[str | None, str] | None = None
    #: Where records of its requests go.
    tracking: ModelTracking | None = None
    #: Where the front answers for it by asking other models: it has no workers, they do.
    graph: FrontModel | None = None
    #: Of a model that a graph has for a node: which one.
    node: DeployedUnit | None = None
    #: Models that were registered with it, and go with it.
    brought: list[ServedModel] = field(default_factory=list)
    #: The name of the model that it came with, which alone may remove it.
    owner: str | None = None
    #: Whether models were registered with it, which run as its registration says.
    has_parts: bool = False
    #: What its registration says without effect, in sentences.
    without_effect: list[str] = field(default_factory=list)
    #: How many workers it is started with where nobody says it: by its archive, or a setting for it alone.
    worker_bounds: WorkerBounds | None = None
    #: What its archive's `model-config.yaml` says, for its handler.
    model_config: dict[str, Any] = field(default_factory=dict)
    #: What is given back when it goes: its archive, files and streams.
    resources: AsyncExitStack = field(default_factory=AsyncExitStack)
    #: Of this registration alone: the next one of the same name has another.
    key: str = field(default_factory=new_key)
    runners: dict[Worker, WorkerRunner] = field(default_factory=dict)
    #: The workers on their way out, until a call has waited for them.
    stopping: list[asyncio.Future[Any]] = field(default_factory=list)
    #: Whether a worker has ever loaded it.
    has_loaded: bool = False
    #: A registration waits for it, and takes it away when a worker cannot load it.
    is_awaited: bool = False
    #: The last failed attempt to load, until one succeeds.
    load_failure: LoadOutcome | None = None

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def version(self) -> str | None:
        return self.model.version

    def has(self, request: Request) -> bool:
        """Whether a request that was accepted waits here, or runs."""
        return self.model.has(request) if self.graph is None else self.graph.has(request)

    @property
    def unit(self) -> DeployedUnit:
        """What it is in a deployment of Seldon's."""
        return DeployedUnit.alone(self.name) if self.node is None else self.node

    @property
    def parameters(self) -> tuple[dict[str, Any], ...]:
        """Of a component's constructor: the model's own, and over them those of the graph that has it for a node."""
        own = self.options.component
        if self.node is None or not self.node.parameters:
            return own.parameters
        of_node = tuple(dict(parameter) for parameter in self.node.parameters)
        return own.overridden(Component(parameters=of_node)).parameters

    def load_options(self, settings: Settings) -> dict[str, Any]:
        """`Load.options` for its workers."""
        files = self.model_files
        options = self.options.load_options(settings, files.path if files is not None else None)
        if self.node is not None and self.parameters:
            options["parameters"] = list(self.parameters)
        if self.tracking is not None:
            options |= self.tracking.options.load_options()
        if self.named_places is not None:
            options["named_places"] = self.named_places
        return options

    @property
    def is_worker_graph(self) -> bool:
        """Whether it is a flow, or a router of the user's, that runs in workers: it reads paths itself."""
        return self.options.is_worker_graph

    @property
    def is_ready(self) -> bool:
        """Some worker has loaded and takes requests; of a graph or router, of each model that it asks."""
        if self.graph is not None:
            return self.graph.is_ready
        return any(
            worker.state is WorkerState.READY and worker.is_model_ready
            for worker in self.model.workers
        )

    @property
    def has_failed_to_load(self) -> bool:
        """None of its workers can come up for now."""
        return self.model.has_failed_to_load

    def not_loaded(self) -> ServiceUnavailable:
        """The error where what a request needs is known only once a worker has loaded."""
        if self.has_failed_to_load:
            return self.model.unavailable()
        return ServiceUnavailable(
            f"No worker has loaded model {self.name} yet, so its protocol is not known yet.",
            retry_after_s=1,
        )

    @property
    def load_timeout_s(self) -> float:
        """For a load; infinite where it has no limit."""
        timeout_s = self.effective.load_timeout_s
        if timeout_s is None:
            return self.model.config.response_timeout_s
        return timeout_s or math.inf

    def describe(self, is_default: bool) -> dict[str, Any]:
        """JSON-able; MMS's members first and in its order, ours behind them."""
        model = self.model
        config = model.config
        shown = self.effective.describe()
        description: dict[str, Any] = {"modelName": self.name}
        if self.version is not None:
            description["modelVersion"] = self.version
        description["modelUrl"] = self.url
        if self.manifest.engine_name is not None:
            description["engine"] = self.manifest.engine_name
        description |= {
            "runtime": self.runtime,
            "minWorkers": self.pool.min_workers,
            "maxWorkers": self.pool.max_workers,
            **{name: shown.pop(name) for name in ("batchSize", "maxBatchDelay")},
            "loadedAtStartup": self.is_loaded_at_startup,
            "workers": [self._describe_worker(worker) for worker in model.workers],
            "batchPolicy": model.policy.name,
            **({"batchPolicyReason": model.policy.reason} if model.policy.reason else {}),
            **({"gpuIds": list(self.pool.gpus)} if self.pool.gpus else {}),
            "handler": self.handler,
            "interface": self.interface,
            **({"signedBy": self.archive.signed_by} if self.archive.signed_by else {}),
            **shown,
            **({"parameters": list(self.parameters)} if self.parameters else {}),
            "defaultVersion": is_default,
            "jobQueueStatus": {
                "remainingCapacity": max(config.queue_capacity - model.waiting, 0),
                "pendingRequests": model.waiting,
            },
        }
        if self.requirements is not None:
            description["requirements"] = self.requirements.describe()
        if self.tracking is not None:
            description["tracking"] = self.tracking.describe()
        if self.graph is not None:
            description["graph"] = self.graph.describe()
        if self.load_failure is not None:
            description["loadError"] = self.load_failure.error
            description["loadTraceback"] = self.load_failure.traceback
        return description

    def _describe_worker(self, worker: Worker) -> dict[str, Any]:
        state = worker.shown_state
        started = datetime.fromtimestamp(worker.started_at, timezone.utc)
        described: dict[str, Any] = {
            "id": worker.id,
            "startTime": started.strftime("%Y-%m-%dT%H:%M:%S.")
            + f"{started.microsecond // 1000:03d}Z",
            "status": _STATUS[state]
            if worker.is_model_ready or worker.has_model_failed
            else "LOADING",
            "gpu": worker.gpu_id is not None,
            "memoryUsage": worker.memory_bytes,
            "state": state.value,
            "pid": worker.pid,
            "restarts": worker.restarts,
        }
        if not worker.is_model_ready:
            described["modelReady"] = False
        if worker.gpu_id is not None:
            described["gpuId"] = worker.gpu_id
        if worker.reason:
            described["reason"] = worker.reason
        return described
