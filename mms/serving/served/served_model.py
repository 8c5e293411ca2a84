"""A registered model version, whatever answers for it, and how it is described."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from archiver import Manifest
from archiver.model_config import WorkerBounds
from mms.core import ModelVersion, Request, Worker, WorkerState
from mms.errors import ServiceUnavailable
from mms.repository import FetchedArchive, ModelFiles
from mms.serving.options import RegisterOptions
from mms.serving.registration.model_options import ModelOptions
from mms.serving.tracking.model_tracking import ModelTracking
from mms.serving.workers.requirements import ModelRequirements
from mms.tensors.declaration import ModelDeclaration

if TYPE_CHECKING:
    from mms.serving.workers.load_outcome import LoadOutcome

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


@dataclass(slots=True, eq=False, kw_only=True, repr=False)
class ServedModel(ABC):
    """One registered version: its archive, its registration, and the requests to it. Called on the event loop.

    Each request that was taken gets exactly one reply.
    """

    model: ModelVersion
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
    #: What its archive declares of its tensors; None where it declares nothing.
    declaration: ModelDeclaration | None = None
    #: What its `model_uri` names, once fetched.
    model_files: ModelFiles | None = None
    #: The packages that its archive asks for, where they are installed.
    requirements: ModelRequirements | None = None
    is_loaded_at_startup: bool = False
    #: What it was registered with, of a model that a state file keeps.
    registration: RegisterOptions | None = None
    #: The entry of `load_models` that it comes from: (name, url).
    startup_source: tuple[str | None, str] | None = None
    #: Where records of its requests go.
    tracking: ModelTracking | None = None
    #: Models that were registered with it, and go with it.
    parts: list[ServedModel] = field(default_factory=list)
    #: The name of the model that it is a part of, which alone may remove it.
    owner: str | None = None
    #: Whether models were registered with it, which run as its registration says.
    has_parts: bool = False
    #: What its registration says without effect, in sentences.
    without_effect: list[str] = field(default_factory=list)
    #: How many workers it is started with where nobody says it: by its archive, or a setting for it alone.
    worker_bounds: WorkerBounds | None = None
    #: The last failed attempt to load, until one succeeds.
    load_failure: LoadOutcome | None = None
    #: What is given back when it goes: its archive, files and streams.
    release: Callable[[], Awaitable[None]] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.full_name}>"

    async def woken(self) -> ServedModel:
        """Return the model itself, made first where it is only known so far. Raises what is wrong with it then."""
        return self

    # Requests

    @abstractmethod
    def submit(self, request: Request) -> None:
        """Take a request; exactly one reply follows. Raises ServiceUnavailable at once where it cannot."""

    @abstractmethod
    def check_room(self) -> None:
        """Raises as `submit` would now, before work is put into reading a request."""

    @abstractmethod
    def cancel(self, request: Request) -> None:
        """The client of a request is gone: it is dropped, or whoever runs it is told."""

    @abstractmethod
    def has(self, request: Request) -> bool:
        """Return whether a request that was accepted waits here, or runs."""

    @abstractmethod
    async def drain(self, timeout_s: float) -> bool:
        """Take no more requests, answer what was accepted, and stop. Return whether the time was enough."""

    @abstractmethod
    def reopen(self) -> None:
        """Take requests again: the removal has been given up."""

    # What it is

    @property
    @abstractmethod
    def kind(self) -> str:
        """What clients are told that it is: a model, or a graph, router or flow that asks others."""

    def info(self) -> tuple[str, str, str, list[tuple[bool, int]]]:
        """Return name, url, handler, and of each worker whether it serves and its memory in bytes."""
        workers = [(w.state is WorkerState.READY, w.memory_bytes) for w in self.workers]
        return self.name, self.url, self.handler, workers

    @property
    @abstractmethod
    def is_ready(self) -> bool:
        """Some worker has loaded and takes requests, or all models that it asks have one."""

    @property
    @abstractmethod
    def is_wanted(self) -> bool:
        """Whether it is meant to answer now, so that it is a problem where it does not."""

    @abstractmethod
    def problems(self) -> list[str]:
        """Return why it cannot take requests, a sentence for each reason; nothing where it can."""

    @property
    @abstractmethod
    def is_composite(self) -> bool:
        """Whether it answers by asking other models, and runs no code of its own in workers."""

    @property
    def takes_tensors(self) -> bool:
        """Whether requests of protocols of tensors may come to it; what it answers them is its own to say."""
        return True

    @property
    @abstractmethod
    def reads_paths(self) -> bool:
        """Whether its own code reads the paths of requests, and asks other models."""

    @abstractmethod
    def uses(self, name: str) -> bool:
        """Return whether it asks a model of that name."""

    def worker_counts(self) -> dict[str, int]:
        """Return how many workers its document gives models that it asks, by their names."""
        return {}

    def first_bounds(self, default: int) -> WorkerBounds:
        """Return how many workers it is to have at first: by its registration, else its archive, else `default`."""
        asked = self.options.asked
        bounds = self.worker_bounds or WorkerBounds(default, default)
        if asked.initial_workers is not None:
            bounds = WorkerBounds(asked.initial_workers, asked.initial_workers)
        if asked.max_worker is not None:
            bounds = WorkerBounds(min(bounds.least, asked.max_worker), asked.max_worker)
        return bounds

    def check_dependencies(self) -> None:
        """Raises DependencyMissing where a model that it asks is gone by now."""
        return

    @property
    def is_on_demand(self) -> bool:
        """Whether it may have workers, and has none until a request needs one."""
        return self.max_workers > self.min_workers == 0

    @property
    def asks_models(self) -> bool:
        """Whether other models are a part of it, or answer for it."""
        return self.is_composite or bool(self.parts)

    @property
    def workers(self) -> Sequence[Worker]:
        return self.model.workers

    @property
    def min_workers(self) -> int:
        return 0

    @property
    def max_workers(self) -> int:
        return 0

    @property
    def gpus(self) -> Sequence[int]:
        """The GPUs that its workers share; none where it uses none."""
        return ()

    @property
    def parameters(self) -> tuple[dict[str, Any], ...]:
        """The arguments of its class, each with name, value and type."""
        return ()

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def version(self) -> str | None:
        return self.model.version

    @property
    def full_name(self) -> str:
        """Its name, and behind a colon its version if it has one."""
        return self.name if self.version is None else f"{self.name}:{self.version}"

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

    async def learn_interface(self) -> None:
        """Have a model loaded whose interface only a worker can find, where a request is what it is loaded for.

        Returns once a load has ended, either way; at once where nothing is to be waited for.
        """
        return

    # Description

    def describe(self, is_default: bool) -> dict[str, Any]:
        """Return what clients are told: JSON-able; MMS's members first and in its order, ours behind them."""
        model = self.model
        shown = self.effective.describe()
        description: dict[str, Any] = {"modelName": self.name}
        if self.version is not None:
            description["modelVersion"] = self.version
        description["modelUrl"] = self.url
        if self.manifest.engine_name is not None:
            description["engine"] = self.manifest.engine_name
        description |= {
            "runtime": self.runtime,
            "minWorkers": self.min_workers,
            "maxWorkers": self.max_workers,
            **{name: shown.pop(name) for name in ("batchSize", "maxBatchDelay")},
            "loadedAtStartup": self.is_loaded_at_startup,
            "workers": [_describe_worker(worker) for worker in self.workers],
            "batchPolicy": model.policy.name,
            **({"batchPolicyReason": model.policy.reason} if model.policy.reason else {}),
            **({"gpuIds": list(self.gpus)} if self.gpus else {}),
            "handler": self.handler,
            "interface": self.interface,
            **({"signedBy": self.archive.signed_by} if self.archive.signed_by else {}),
            **shown,
            **({"parameters": list(self.parameters)} if self.parameters else {}),
            "defaultVersion": is_default,
            "jobQueueStatus": {
                "remainingCapacity": max(model.config.queue_capacity - model.waiting, 0),
                "pendingRequests": model.waiting,
            },
        }
        if self.requirements is not None:
            description["requirements"] = self.requirements.describe()
        if self.declaration is not None:
            description["tensors"] = self.declaration.to_members()
        if self.tracking is not None:
            description["tracking"] = self.tracking.describe()
        description |= self.describe_share()
        description |= self.describe_composition()
        description |= self.describe_sequences()
        description |= self.describe_memory()
        if self.load_failure is not None:
            description["loadError"] = self.load_failure.error
            description["loadTraceback"] = self.load_failure.traceback
        return description

    def describe_share(self) -> dict[str, Any]:
        """Return the member of its description that tells which workers a front of a cluster has: JSON-able."""
        return {}

    def describe_composition(self) -> dict[str, Any]:
        """Return the members of its description that tell which models it asks: JSON-able."""
        return {}

    def describe_sequences(self) -> dict[str, Any]:
        """Return the member of its description that tells of its sequences, where it has some: JSON-able."""
        return {}

    def describe_memory(self) -> dict[str, Any]:
        """Return the member of its description that tells of its memory, where that is limited: JSON-able."""
        return {}


def _describe_worker(worker: Worker) -> dict[str, Any]:
    state = worker.shown_state
    started = datetime.fromtimestamp(worker.started_at, timezone.utc)
    described: dict[str, Any] = {
        "id": worker.id,
        "startTime": started.strftime("%Y-%m-%dT%H:%M:%S.") + f"{started.microsecond // 1000:03d}Z",
        "status": _STATUS[state] if worker.is_model_ready or worker.has_model_failed else "LOADING",
        "gpu": worker.gpu_id is not None,
        "memoryUsage": worker.memory_bytes,
        "state": state.value,
        "pid": worker.pid,
        "restarts": worker.restarts,
    }
    if not worker.is_model_ready:
        described["modelReady"] = False
    if worker.oom_kills:
        described["oomKills"] = worker.oom_kills
    if worker.gpu_id is not None:
        described["gpuId"] = worker.gpu_id
    if worker.stage:
        passed_s = time.monotonic() - worker.stage_at
        described["progress"] = {"stage": worker.stage, "seconds": round(passed_s, 3)}
    if worker.node:
        described["node"] = worker.node
    if worker.load_times:
        described["loadTimes"] = {done: round(s, 3) for done, s in worker.load_times.items()}
    if worker.reason:
        described["reason"] = worker.reason
    return described
