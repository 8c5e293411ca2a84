"""Has the workers of all models stay within the limit of memory: measures them, and has idle models make room."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from mms import faults
from mms.core import Worker, WorkerState
from mms.core.residency.footprint import Footprint, HeldMemory, ModelMemory, TypicalSizes
from mms.core.residency.policy import Eviction, ResidencyPolicy, Resident
from mms.launch import LaunchFailed
from mms.machine.gpu_memory import GpuMemory
from mms.machine.memory import server_bytes, worker_bytes
from mms.observe import events

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from mms.serving.served import PooledModel

logger = logging.getLogger("mms.serving")

#: How often workers are measured, in seconds, and how many of them at the most: the kernel walks their page tables.
_MEASURE_S: Final = 1.0
_MEASURED_AT_ONCE: Final = 16
#: How often a load that waits looks whether a model has become idle, in seconds.
_LOOK_S: Final = 0.02
#: Archives whose footprint is remembered.
_MOST_FOOTPRINTS: Final = 20_000
#: What a worker is taken for before any has loaded.
_FIRST_GUESS_BYTES: Final = 32_000_000
_LEAVING: Final = (WorkerState.DRAINING, WorkerState.STOPPED)
#: Above a worker there is its keeper, and above that the parent that has loaded the model, with `preload_model`.
_KEEPER: Final = 1
_KEEPER_AND_PARENT: Final = 2


class Residency:
    """Admits loads, one after the other where they have to wait. Called on the event loop."""

    def __init__(
        self,
        limit_bytes: int,
        min_residence_s: float,
        evict: Callable[[PooledModel], None],
        process_ids: Callable[[], list[int]],
    ) -> None:
        """`evict` lets all workers of a model go after what they run. `process_ids`: of `Launcher`."""
        self._policy = ResidencyPolicy(limit_bytes, min_residence_s)
        self._evict = evict
        self._process_ids = process_ids
        #: What the server's own processes hold; 0: not measured yet.
        self._own_bytes = 0
        #: The models with workers that hold memory.
        self._models: dict[PooledModel, ModelMemory] = {}
        #: What is known of an archive, also while no model is made of it.
        self._footprints: dict[tuple[str, str | None, str], Footprint] = {}
        #: The guesses for models that have not been loaded.
        self._typical = TypicalSizes()
        #: Counts what may have made room.
        self._changes = 0
        self._gpus: GpuMemory | None = None
        self._has_looked_for_gpus = False
        #: By the number of a GPU.
        self._gpu_policies: dict[int, ResidencyPolicy] = {}
        self._typical_of_gpus = TypicalSizes()
        self._min_residence_s = min_residence_s
        self._waiting = asyncio.Lock()
        #: Done when the next worker has ended.
        self._next_end: asyncio.Future[None] | None = None
        self._measuring = asyncio.get_running_loop().create_task(self._keep_measuring())

    def __repr__(self) -> str:
        return f"<Residency of {len(self._models)} models, {self._policy!r}>"

    def know(self, served: PooledModel) -> None:
        """A model may have workers from now on."""
        if served.memory is not None:
            return
        archive = served.archive
        key = (served.name, served.version, archive.sha256 or str(archive.folder))
        footprint = self._footprints.pop(key, None) or Footprint()
        # The newest is the last.
        self._footprints[key] = footprint
        while len(self._footprints) > _MOST_FOOTPRINTS:
            del self._footprints[next(iter(self._footprints))]
        served.memory = ModelMemory(footprint)

    def note_change(self) -> None:
        """Something may give way from now on that had to stay, or is gone."""
        self._changes += 1

    def has_room_again(self, served: PooledModel) -> bool:
        """Whether a model whose last load found no room would find some now. Cheap where nothing has changed since."""
        memory = served.memory
        if memory is None or memory.found_full_at in (None, self._changes):
            return False
        memory.found_full_at = self._changes
        now = time.monotonic()
        needed, is_guess = self._expected(served, memory)
        known = self._policy.known_to_stay(self._residents(now), served.key)
        if self._policy.misfit(needed, known, is_guess=is_guess):
            return False
        return self._fits_some_gpu(served, memory, now)

    def _fits_some_gpu(self, served: PooledModel, memory: ModelMemory, now: float) -> bool:
        of_gpu = memory.footprint.gpu_bytes
        gpus = served.pool.gpus
        if not gpus or of_gpu == 0 or any(gpu not in self._gpu_policies for gpu in gpus):
            return True
        for gpu in gpus:
            policy = self._gpu_policies[gpu]
            known = policy.known_to_stay(self._residents(now, gpu), served.key)
            if not policy.misfit(of_gpu or 0, known, is_guess=of_gpu is None):
                return True
        return False

    # Loads

    @asynccontextmanager
    async def room(self, served: PooledModel, worker: Worker) -> AsyncIterator[None]:
        """Wait until there is room for a worker, and keep it while the worker loads.

        Raises LaunchFailed with 507 where the model cannot fit, or where there is no room within the time for a load.
        """
        self.forget(served, worker)
        memory, timeout_s = _memory_of(served), served.load_timeout_s
        try:
            try:
                await asyncio.wait_for(
                    self._wait(served, worker), None if math.isinf(timeout_s) else timeout_s
                )
            except asyncio.TimeoutError:
                memory.found_full_at = self._changes
                text = f"no memory within {timeout_s:g} seconds: it {worker.reason}"
                raise LaunchFailed(text, 507) from None
            worker.reason = ""
            yield
        except BaseException:
            self.forget(served, worker)
            raise
        held = memory.held.get(worker)
        if held is not None:
            held.is_loading = False
            memory.loaded_at = time.monotonic()

    async def _wait(self, served: PooledModel, worker: Worker) -> None:
        """Return once a worker may load; what it is expected to hold counts from now on."""
        # Its turn was waited for as well.
        began = worker.stage_at
        memory = _memory_of(served)
        # A policy tells of them once, and the load may have to wait then.
        turns: dict[str, ResidencyPolicy] = {}
        if self._waiting.locked():
            worker.reason = "waits for memory behind the load of another model"
        async with self._waiting:
            gpu_policy = await self._gpu_policy(worker.gpu_id)
            if not self._own_bytes:
                await self._measure_own()
            while True:
                now = time.monotonic()
                needed, is_guess = self._expected(served, memory)
                admission = self._policy.admit(
                    served.key,
                    served.full_name,
                    needed,
                    self._residents(now),
                    now,
                    is_guess=is_guess,
                    waiting_s=now - began,
                )
                if admission.refusal:
                    memory.found_full_at = self._changes
                    raise LaunchFailed(admission.refusal, 507)
                if admission.alternates_with:
                    turns[admission.alternates_with] = self._policy
                size_bytes, evicted, gpu_bytes = admission.size_bytes, admission.evicted, 0
                of_gpu = memory.footprint.gpu_bytes
                # What takes nothing of a GPU need not wait for one that is full.
                if admission.is_admitted and gpu_policy is not None and of_gpu != 0:
                    admission = gpu_policy.admit(
                        served.key,
                        served.full_name,
                        (self._typical_of_gpus.expected(_kinds(served)) or 0)
                        if of_gpu is None
                        else of_gpu,
                        self._residents(now, worker.gpu_id),
                        now,
                        is_guess=of_gpu is None,
                        waiting_s=now - began,
                    )
                    if admission.refusal:
                        memory.found_full_at = self._changes
                        raise LaunchFailed(admission.refusal, 507)
                    if admission.alternates_with:
                        turns[admission.alternates_with] = gpu_policy
                    gpu_bytes = admission.size_bytes
                    evicted = _together(evicted, admission.evicted)
                if admission.is_admitted:
                    break
                worker.reason = admission.waits_for
                await self._worker_end(_LOOK_S)
            held = memory.held[worker] = HeldMemory(size_bytes, is_guess=is_guess)
            held.gpu_bytes, held.is_gpu_guess = gpu_bytes, of_gpu is None
            self._models[served] = memory
            memory.found_full_at = None
            for other, policy in turns.items():
                events.models_alternate(served.full_name, other, policy.limit)
            self._carry_out(evicted)
        while self._has_to_wait_for_room(held, worker.gpu_id):
            worker.reason = "waits for memory until other models' workers have ended"
            await self._worker_end(None)
        held.is_waiting = False

    async def confirm(self, served: PooledModel, worker: Worker) -> None:
        """Measure a worker that has loaded. Raises LaunchFailed with 507 where it cannot stay beside what has to."""
        memory, pid = _memory_of(served), worker.pid
        load_s = sum(worker.load_times.get(part, 0.0) for part in ("process", "import", "load"))
        size = await asyncio.to_thread(worker_bytes, pid, _parents(served))
        held = memory.held.get(worker)
        if held is None or not size:
            return
        now = time.monotonic()
        held.size_bytes, held.measured_at, held.is_guess = size, now, False
        memory.footprint.note_load(size, load_s)
        kinds = _kinds(served)
        held.growth_bytes = self._typical.growth(kinds)
        self._typical.note_load(kinds, size)
        await self._confirm_gpu(served, worker, held)
        residents = self._residents(now)
        # The one that was measured is a part of it.
        known = self._policy.known_to_stay(residents, served.key) - _size(held, None)
        problem = self._policy.misfit(size, known)
        if problem:
            memory.found_full_at = self._changes
            raise LaunchFailed(problem, 507)
        self._carry_out(self._policy.shrink(residents, now, keep=served.key))

    async def _confirm_gpu(self, served: PooledModel, worker: Worker, held: HeldMemory) -> None:
        policy, memory = await self._gpu_policy(worker.gpu_id), _memory_of(served)
        if policy is None or self._gpus is None or worker.gpu_id is None:
            return
        held.gpu_bytes = (await asyncio.to_thread(self._gpus.held, worker.gpu_id)).get(
            worker.pid, 0
        )
        memory.footprint.gpu_bytes, held.is_gpu_guess = held.gpu_bytes, False
        self._typical_of_gpus.note_load(_kinds(served), held.gpu_bytes)
        now = time.monotonic()
        residents = self._residents(now, worker.gpu_id)
        known = policy.known_to_stay(residents, served.key) - held.gpu_bytes
        if held.gpu_bytes and (problem := policy.misfit(held.gpu_bytes, known)):
            memory.found_full_at = self._changes
            raise LaunchFailed(problem, 507)
        self._carry_out(policy.shrink(residents, now, keep=served.key))

    async def _gpu_policy(self, gpu: int | None) -> ResidencyPolicy | None:
        """Return what decides on the memory of a GPU; None where it is not measured."""
        if gpu is None:
            return None
        if not self._has_looked_for_gpus:
            # A load that waits for it may be cancelled: the next one looks again.
            self._note_gpus(await asyncio.to_thread(GpuMemory.open))
        return self._gpu_policies.get(gpu)

    def _note_gpus(self, gpus: GpuMemory | None) -> None:
        if self._has_looked_for_gpus:
            # Two have looked at one time.
            return
        self._has_looked_for_gpus, self._gpus = True, gpus
        for number, limit in enumerate(() if gpus is None else gpus.limits):
            name = f"the memory of GPU {number}"
            self._gpu_policies[number] = ResidencyPolicy(limit, self._min_residence_s, name)

    def forget(self, served: PooledModel, worker: Worker) -> None:
        """A worker holds nothing any more: its process has ended, or is about to be replaced."""
        memory = served.memory
        if memory is None or memory.held.pop(worker, None) is None:
            return
        if not memory.held:
            self._models.pop(served, None)
        self.note_change()
        if self._next_end is not None and not self._next_end.done():
            self._next_end.set_result(None)

    async def _worker_end(self, timeout_s: float | None) -> None:
        """Return when a worker has ended, or after so long."""
        if self._next_end is None or self._next_end.done():
            self._next_end = asyncio.get_running_loop().create_future()
        await asyncio.wait((self._next_end,), timeout=timeout_s)

    def _expected(self, served: PooledModel, memory: ModelMemory) -> tuple[int, bool]:
        """Return (what a worker will hold, whether that is a guess)."""
        footprint = memory.footprint
        if not footprint.loaded_bytes:
            return self._typical.expected(_kinds(served)) or _FIRST_GUESS_BYTES, True
        if footprint.peak_bytes > self._policy.limit_bytes:
            # It has grown beyond all measure since its load, which is no reason not to load it.
            return footprint.loaded_bytes, False
        return footprint.peak_bytes, False

    # What there is

    def _residents(self, now: float, gpu: int | None = None) -> list[Resident]:
        """Return what holds memory, or memory of a GPU: models, but for those on their way out, and the server."""
        found = [] if gpu is not None else [Resident.of_server(self._own_bytes)]
        for served, memory in self._models.items():
            held = [
                each
                for worker, each in memory.held.items()
                if worker.state not in _LEAVING and (gpu is None or worker.gpu_id == gpu)
            ]
            if not held:
                continue
            model = served.model
            memory.use.observe(model.arrivals.total, model.arrivals.last_at)
            is_loading = any(each.is_loading for each in held)
            found.append(
                Resident(
                    key=served.key,
                    name=served.full_name,
                    size_bytes=sum(_size(each, gpu) for each in held),
                    used_at=memory.use.used_at,
                    loaded_at=memory.loaded_at,
                    load_s=memory.footprint.load_s,
                    rate=memory.use.rate(now),
                    is_idle=model.is_idle and not is_loading,
                    is_loading=is_loading,
                    may_leave=served.is_on_demand and not served.effective.pinned,
                    guessed_bytes=sum(_size(each, gpu) for each in held if _is_guess(each, gpu)),
                )
            )
        return found

    def _has_to_wait_for_room(self, promised: HeldMemory, gpu: int | None) -> bool:
        """Return whether workers on their way out hold what was promised to one, of the memory or of a GPU."""
        limits: list[tuple[int | None, int]] = [(None, self._policy.limit_bytes - self._own_bytes)]
        if gpu is not None and gpu in self._gpu_policies:
            limits.append((gpu, self._gpu_policies[gpu].limit_bytes))
        for of_gpu, limit_bytes in limits:
            sizes = [
                (_size(held, of_gpu), worker.state in _LEAVING)
                for memory in self._models.values()
                for worker, held in memory.held.items()
                if (of_gpu is None or worker.gpu_id == of_gpu)
                and (held is promised or not held.is_waiting)
            ]
            leaving = sum(size for size, is_leaving in sizes if is_leaving)
            if leaving and sum(size for size, _ in sizes) > limit_bytes:
                return True
        return False

    def _carry_out(self, evictions: Sequence[Eviction]) -> None:
        if not evictions:
            return
        by_key = {served.key: served for served in self._models}
        for eviction in evictions:
            served = by_key[eviction.resident.key]
            _memory_of(served).evictions[eviction.reason] += 1
            events.model_evicted(served.name, served.full_name, eviction.line)
            with faults.contained("residency", served.name, served.version):
                self._evict(served)

    # Measuring

    async def _measure_own(self) -> None:
        self._own_bytes = await asyncio.to_thread(server_bytes, self._process_ids())

    async def _keep_measuring(self) -> None:
        while True:
            await asyncio.sleep(_MEASURE_S)
            with faults.contained("residency"):
                await self._measure_some()

    async def _measure_some(self) -> None:
        """Measure the server itself, and those workers that have not been for longest."""
        await self._measure_own()
        due = [
            (held, worker, served)
            for served, memory in self._models.items()
            for worker, held in memory.held.items()
            if not held.is_loading and worker.pid and worker.state not in _LEAVING
        ]
        # What has just loaded grows most.
        due.sort(key=lambda each: (each[0].growth_bytes is None, each[0].measured_at))
        due = due[:_MEASURED_AT_ONCE]
        sizes = await asyncio.to_thread(
            _measure_all, [(worker.pid, _parents(served)) for _, worker, served in due]
        )
        now = time.monotonic()
        for (held, _, served), size in zip(due, sizes, strict=True):
            held.measured_at = now
            if size:
                if held.growth_bytes is not None:
                    self._typical.note_growth(_kinds(served), size - held.size_bytes)
                    held.growth_bytes = None
                held.size_bytes = size
                _memory_of(served).footprint.note_size(size)
        await self._measure_gpus()
        residents = self._residents(now)
        evictions = self._policy.shrink(residents, now)
        self._carry_out(evictions)
        if not evictions and (excess := self._policy.excess(residents, now)):
            events.memory_exceeded(self._policy.limit_name, excess)

    async def _measure_gpus(self) -> None:
        if self._gpus is None:
            return
        for gpu, policy in self._gpu_policies.items():
            sizes = await asyncio.to_thread(self._gpus.held, gpu)
            for memory in self._models.values():
                for worker, held in memory.held.items():
                    if worker.gpu_id == gpu and not held.is_loading and worker.pid in sizes:
                        held.gpu_bytes = sizes[worker.pid]
                        footprint = memory.footprint
                        footprint.gpu_bytes = max(footprint.gpu_bytes or 0, held.gpu_bytes)
            now = time.monotonic()
            residents = self._residents(now, gpu)
            evictions = policy.shrink(residents, now)
            self._carry_out(evictions)
            if not evictions and (excess := policy.excess(residents, now)):
                events.memory_exceeded(policy.limit_name, excess)

    def collect(self) -> Iterator[Metric]:
        """Yield what there is beside the models' own numbers, for Prometheus. Called in a thread."""
        from prometheus_client.core import GaugeMetricFamily

        yield GaugeMetricFamily(
            "mms_memory_limit_bytes",
            "What all processes of the server may hold together (memory_limit).",
            self._policy.limit_bytes,
        )

    def close(self) -> None:
        """Measure no more."""
        self._measuring.cancel()


def _memory_of(served: PooledModel) -> ModelMemory:
    memory = served.memory
    if memory is None:
        raise RuntimeError("a model has workers that nobody has announced")
    return memory


def _kinds(served: PooledModel) -> tuple[str, ...]:
    """Return what other models may have in common with this one in what they hold, as for `TypicalSizes`."""
    archive = served.archive
    return archive.sha256 or str(archive.folder), f"{served.interface} {served.handler}", ""


def _size(held: HeldMemory, gpu: int | None) -> int:
    return held.size_bytes + (held.growth_bytes or 0) if gpu is None else held.gpu_bytes


def _is_guess(held: HeldMemory, gpu: int | None) -> bool:
    return held.is_guess if gpu is None else held.is_gpu_guess


def _together(some: Sequence[Eviction], others: Sequence[Eviction]) -> list[Eviction]:
    """Return all of them, each model once."""
    keys = {each.resident.key for each in some}
    return [*some, *(each for each in others if each.resident.key not in keys)]


def _measure_all(processes: Iterable[tuple[int, int]]) -> list[int]:
    return [worker_bytes(pid, parents) for pid, parents in processes]


def _parents(served: PooledModel) -> int:
    return _KEEPER_AND_PARENT if served.effective.preload_model else _KEEPER
