"""Whatever the event loop calls may raise: that concerns the one model or worker it came from, and nobody else.

Each row of the table is a function that the loop calls for a model. It raises once, for one of two models that are
asked the same at the same time.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import pytest_asyncio
from played_workers import PlayedLauncher
from support.replies import AwaitedReply, make_request
from support.waiting import until

import mms.launch.connection
import mms.serving.workers.runner
from mms import faults
from mms.core import ChosenPolicy, ModelVersion, Worker, deadlines, recovery
from mms.core.batching import AdaptivePolicy, FixedPolicy
from mms.errors import ServerError
from mms.launch.accepting import WorkerConnection
from mms.launch.connection import Link
from mms.launch.heartbeat import Heartbeats
from mms.serving import dispatcher as dispatcher_module
from mms.serving.dispatcher import Dispatcher
from mms.serving.tracking.model_tracking import ModelTracking
from mms.serving.workers.calls import WorkerCalls
from mms.serving.workers.model_workers import ModelWorkers
from mms.serving.workers.runner import WorkerRunner
from mms.serving.workers.stream_intake import StreamIntake

if TYPE_CHECKING:
    from conftest import Bench

_FAULTY, _OTHER = "faulty", "other"
#: Asked by the workers of both, so that neither's queue has requests of the other.
_CALLED = "called"
#: What an accepted request may take, in seconds. Nothing here takes a tenth of it.
_LIMIT_S = 20.0
#: It passes for workers that hang, and for no others, however long the machine lets them wait.
_RESPONSE_TIMEOUT_S = 3600.0


class Injected(Exception):
    """What nothing foresaw."""


class Row(NamedTuple):
    """A function that the loop calls, where it stands."""

    owner: Any
    name: str

    @property
    def is_of_a_model(self) -> bool:
        """Its arguments tell which model it is called for."""
        return inspect.isclass(self.owner) or self.owner in (deadlines, recovery)

    def __str__(self) -> str:
        return f"{self.owner.__name__.rpartition('.')[2]}.{self.name}"


#: What a table of everything leaves out, and why.
_NOT_IN_THE_PATH = {
    "ModelVersion": {
        # For people, and for what comes after a fault.
        *("statistics", "oldest_wait_s", "take_all", "recount"),
        # Of calls that tests of their own have.
        "_would_wait_too_long",
        # Of gRPC alone, whose calls fail by themselves.
        "check_room",
        # Asked of models on their way out.
        "has",
        # An operation of a client.
        "reconfigure",
        # Only on the way to an error.
        *("unavailable", "retry_after_s", "expected_wait_s"),
    },
    "Dispatcher": {
        # These let nothing out by themselves: what they call is in the table.
        *("submit", "dispatch", "dispatch_due", "schedule", "_woken", "_at_deadline", "_tick"),
        *("_on_send_failed", "_give_up", "_kill"),
        # A step of the loop's own, which has no model.
        *("_look", "_tick_after"),
        # Of a model that is gone, and of the server's end.
        *("forget", "close"),
    },
    "Worker": {"next_backoff_s"},
    "WorkerRunner": {
        # Its task, and what operations of clients call.
        *("_run", "_break_off", "stop", "wait_attempt", "respecify"),
        # Only where a load fails, and where a process has to wait for a node.
        *("_observed", "on_waiting"),
    },
    "Link": {
        *("fork", "close", "on_exit"),
        # Of launchers, and of workers that give no sign of life.
        *("wait_connected", "look"),
        # Of a worker that floods, or reads nothing; tests of their own have those.
        *("on_behind", "_pause_reading", "_read_on", "_read_connections", "_take_late_frame"),
    },
    "WorkerConnection": {
        *("connection_made", "abort", "_break_off", "connection_lost"),
        # The same.
        *("pause_writing", "resume_writing"),
    },
    "Heartbeats": {"watch", "close", "_schedule", "_beat"},
    "WorkerCalls": set(),
    "StreamIntake": set(),
    "ModelTracking": {"recent", "push", "describe"},
}


def _functions(owner: type, left_out: str = "") -> list[Row]:
    skipped = _NOT_IN_THE_PATH[left_out or owner.__name__]
    return [
        Row(owner, name)
        for name, member in vars(owner).items()
        if inspect.isfunction(member) and not name.startswith("__") and name not in skipped
    ]


TABLE = [
    *_functions(ModelVersion),
    *_functions(Dispatcher),
    *_functions(Worker),
    *_functions(WorkerRunner),
    *_functions(Link),
    *_functions(WorkerConnection),
    *_functions(Heartbeats),
    *_functions(WorkerCalls),
    *_functions(ModelTracking),
    # Their siblings come after a fault, or where nobody waits any more.
    Row(recovery, "lose_worker"),
    Row(deadlines, "expire"),
    *_functions(StreamIntake),
    # The rest are operations of clients, and assignments.
    Row(ModelWorkers, "_on_load"),
    Row(ModelWorkers, "_replace_if_stale"),
    Row(mms.launch.connection, "encode_batches"),
    Row(mms.launch.connection, "decode_records"),
    Row(mms.serving.workers.runner, "decode_result"),
    Row(mms.serving.workers.runner, "batch_record"),
]


def _model_of(scene: Scene, arguments: tuple[Any, ...]) -> str:
    """For which model a function of the table was called."""
    first = arguments[0]
    if isinstance(first, Worker):
        return first.name
    if isinstance(first, ModelVersion):
        return first.name
    if isinstance(first, StreamIntake):
        return first._model.name
    if isinstance(first, WorkerRunner):
        return first._model.name
    if isinstance(first, Link):
        return first.model[0]
    if isinstance(first, WorkerConnection):
        # Before its greeting it may be any worker's.
        return first._link.model[0] if first._link is not None else _FAULTY
    if isinstance(first, ModelTracking):
        return first.model
    if isinstance(first, WorkerCalls):
        runners = [r for s in scene.host.registry.all() for r in s.runners.values()]
        return next((r._model.name for r in runners if r._calls is first), "")
    for found in arguments:
        if isinstance(found, ModelVersion):
            return found.name
        if isinstance(found, Link):
            return found.model[0]
        if isinstance(found, Worker):
            return found.name
        if hasattr(found, "model") and isinstance(found.model, ModelVersion):
            return found.name  # type: ignore[no-any-return]
    return ""


class Client(AwaitedReply):
    """One that keeps its request, and reads text."""

    def __init__(self, name: str, body: bytes, **members: Any) -> None:
        super().__init__(bytes.decode)
        self.request = make_request(name, self, body, **members)


class Scene:
    """Two models with workers that are played, and clients."""

    def __init__(self, bench: Bench) -> None:
        self.host = bench.host
        self.bench = bench

    def ask(self, model: str, body: bytes, timeout_s: float = 0.0, priority: int = 1) -> Client:
        deadline = time.monotonic() + timeout_s if timeout_s else 0.0
        client = Client(model, body, deadline=deadline, priority=priority)
        try:
            self.host.submit(client.request)
        except ServerError as error:
            client.fail(client.request, error)
        return client

    async def use(self, model: str) -> list[Client]:
        """Everything that clients and operators do to a model in the course of a day."""
        # A batch for each worker, so that it is known how quick they are and they are sent work ahead.
        clients = [self.ask(model, b"echo") for _ in range(4)]
        await _all(clients)
        late = self.ask(model, b"hang", timeout_s=_LIMIT_S)
        await self.is_sent(late)
        # Its deadline passes now.
        version = self.host.registry.get(model).model
        late.request.deadline = version.deadline_at = time.monotonic()
        clients.append(late)
        clients += [self.ask(model, b"tell") for _ in range(2)]
        # More than the queue has room for until it is dispatched.
        clients += [self.ask(model, b"echo", priority=number % 3) for number in range(19)]
        # Nothing is left that could be in one batch with what hangs.
        await _all(clients)
        clients += [self.ask(model, b"stream") for _ in range(2)]
        await _all(clients)
        endless = self.ask(model, b"hang")
        await self.is_sent(endless)
        gone = self.ask(model, b"echo")
        self.host.cancel(gone.request)
        clients += [endless, self.ask(model, b"echo")]
        await endless.done
        await self.works(model)
        # By now each has a worker that was started while a function was to raise.
        for _ in range(4):
            clients.append(self.ask(model, b"tell"))
            await clients[-1].done
        # As if no call with few requests had been answered yet.
        version.policy = ChosenPolicy(version.config, version.policy.on_change)
        clients.append(self.ask(model, b"few"))
        await clients[-1].done
        policy = version.policy
        policy.rule = FixedPolicy()
        clients.append(self.ask(model, b"echo"))
        await clients[-1].done
        policy.rule = AdaptivePolicy()
        await self.host.scale(model, None, 1, 1, False)
        clients.append(self.ask(model, b"echo"))
        await clients[-1].done
        await self.host.scale(model, None, 2, 2, False)
        return clients

    async def is_sent(self, client: Client) -> None:
        """Return once a worker has the request, or it is answered."""
        request = client.request
        model = self.host.registry.get(request.name).model
        await until(
            lambda: (
                client.done.done()
                or any(request in b.requests for w in model.workers for b in w.in_flight)
            ),
            "a worker has the request",
        )

    async def works(self, model: str) -> None:
        """Return once a model answers and its workers are all there."""
        deadline = time.monotonic() + _LIMIT_S
        while True:
            status, _ = await asyncio.wait_for(self.ask(model, b"echo").done, _LIMIT_S)
            workers = self.host.registry.get(model).describe(True)["workers"]
            if status == 200 and [w["state"] for w in workers] == ["READY", "READY"]:
                return
            assert time.monotonic() < deadline, f"{model} serves no more: {status} {workers}"
            await asyncio.sleep(0.005)

    async def rests(self) -> None:
        """Return once nothing is left to do for any model."""
        dispatcher = self.host.dispatcher
        await until(
            lambda: not (dispatcher._active or dispatcher._ticker or dispatcher._due),
            "the dispatcher has nothing to do",
        )


async def _all(clients: list[Client]) -> list[tuple[int, str]]:
    return await asyncio.wait_for(asyncio.gather(*(c.done for c in clients)), _LIMIT_S)


def _time_passes_for_hung_workers(patch: pytest.MonkeyPatch, launcher: PlayedLauncher) -> None:
    """Each look finds that the response timeout has passed for what hangs, once a deadline of its own has."""
    timed_out_workers = ModelVersion.timed_out_workers

    def look(model: ModelVersion, now: float) -> list[Worker]:
        for worker in model.workers:
            if not worker.in_flight or not launcher.is_hung(worker.link):
                continue
            # What it had before may be answered, and the answer not be read yet.
            hang = [r for r in worker.in_flight[0].requests if r.body == b"hang"]
            if hang and all(r.is_done or not r.deadline for r in hang):
                worker.head_since = now - _RESPONSE_TIMEOUT_S
        return timed_out_workers(model, now)

    patch.setattr(ModelVersion, "timed_out_workers", look)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def scene(bench_class: type[Bench]) -> AsyncIterator[Scene]:
    folder = Path(tempfile.mkdtemp(prefix="mmst-"))
    bench = bench_class(folder, tracking=f"{folder}/records.jsonl", job_queue_size=20)
    launcher = PlayedLauncher(0.03)
    bench.make_launcher = lambda: launcher  # type: ignore[method-assign, assignment]
    patch = pytest.MonkeyPatch()
    _time_passes_for_hung_workers(patch, launcher)
    patch.setattr(dispatcher_module, "_TICK_S", 0.005)
    patch.setattr(dispatcher_module, "_HELD_S", 0.01)
    asyncio.get_running_loop().set_exception_handler(faults.on_loop_exception)
    calls = {"called": [_CALLED, None]}
    await bench.start()
    for name in (_FAULTY, _OTHER, _CALLED):
        options = {"batch_size": 2, "max_batch_delay_ms": 1, "calls": calls}
        await bench.register(
            name, "", initial_workers=2, response_timeout_s=_RESPONSE_TIMEOUT_S, **options
        )
    yield Scene(bench)
    await bench.stop()
    patch.undo()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("row", TABLE, ids=str)
async def test_what_raises_once_fails_its_own_model_s_requests_at_most(
    scene: Scene,
    row: Row,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await scene.works(_FAULTY)
    await scene.works(_OTHER)
    function = getattr(row.owner, row.name)
    raised: list[str] = []

    def raise_once(*arguments: Any, **more: Any) -> Any:
        if not raised and (not row.is_of_a_model or _FAULTY in _model_of(scene, arguments)):
            raised.append(row.name)
            raise Injected(str(row))
        return function(*arguments, **more)

    async def raise_once_later(*arguments: Any, **more: Any) -> Any:
        return await raise_once(*arguments, **more)

    before = sum(faults.counts().values())
    monkeypatch.setattr(
        row.owner,
        row.name,
        raise_once_later if inspect.iscoroutinefunction(function) else raise_once,
    )
    with caplog.at_level(logging.ERROR, "mms.faults"):
        faulty, other = await asyncio.wait_for(
            asyncio.gather(scene.use(_FAULTY), scene.use(_OTHER)), _LIMIT_S
        )
        await scene.works(_FAULTY)
        for _ in range(5):
            if raised:
                break
            # Whether a worker was sent work ahead of what hangs, say, is a matter of time.
            faulty += await asyncio.wait_for(scene.use(_FAULTY), _LIMIT_S)
        told, told_other = await _all(faulty), await _all(other)
        await scene.works(_FAULTY)
        # What workers say is taken in turns, and some of it after their answers.
        await until(lambda: raised, "it is called")
    if row.is_of_a_model:
        # The other model's answers are what they always are.
        for client, (status, text) in zip(other, told_other, strict=True):
            usual = {b"hang": (408, 500), b"few": (200, 503)}.get(client.request.body, (200,))
            assert status in usual, (status, text)
    for client, (status, text) in zip(faulty, told, strict=True):
        request_id = client.request.id.decode()
        assert status in (200, 408, 503) or (
            status == 500 and (request_id in text or text == "Worker died.")
        ), (status, text)
    assert sum(faults.counts().values()) > before
    assert f"Injected: {row}" in caplog.text
    await scene.works(_OTHER)
    await scene.rests()
    for served in scene.host.registry.all():
        assert not served.model.is_scheduled
        assert served.model.waiting == 0
