"""What Ray is asked for, and what the front is told of it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mms.launch.nodes.assignment import Assignment
from mms.launch.ray.placer_process import Placer
from mms.launch.ray.waiting import NodeRoom, waiting_reason


class Ray:
    """Remembers what it is asked for; nothing of it runs."""

    def __init__(self) -> None:
        self.actors: list[Any] = []
        self.killed: list[Any] = []
        self.has_killed = threading.Semaphore(0)
        self.stored: list[bytes] = []
        self.rooms = [{"NodeID": "a", "Alive": True, "Resources": {"CPU": 4.0}}]
        self.init_error: Exception | None = None
        self.named: dict[str, Any] = {}
        self.util = SimpleNamespace(
            get_node_ip_address=lambda: "10.0.0.1", list_named_actors=lambda: [*self.named, "gone"]
        )

    def init(self, **options: Any) -> None:
        if self.init_error is not None:
            raise self.init_error

    def remote(self, kind: type) -> Any:
        def options(**asked: Any) -> Any:
            def start() -> Any:
                done: Future[Any] = Future()
                calls: list[Any] = []

                def run(*arguments: Any) -> Any:
                    calls.append(arguments)
                    return SimpleNamespace(future=lambda: done)

                method = SimpleNamespace(remote=run)
                actor = SimpleNamespace(
                    asked=asked, calls=calls, done=done, run=method, end_reason=method
                )
                self.actors.append(actor)
                self.named[asked["name"]] = actor
                return actor

            return SimpleNamespace(remote=start)

        return SimpleNamespace(options=options)

    def get_actor(self, name: str) -> Any:
        if name not in self.named:
            raise ValueError(name)
        return self.named[name]

    def kill(self, actor: Any) -> None:
        self.killed.append(actor)
        self.has_killed.release()

    def put(self, chunk: bytes) -> int:
        self.stored.append(chunk)
        return len(self.stored)

    def nodes(self) -> list[dict[str, Any]]:
        return self.rooms


class Scene:
    def __init__(self, folder: Path) -> None:
        self.ray = Ray()
        self.told: queue.Queue[Mapping[str, Any]] = queue.Queue()
        self.placer = Placer(self.ray, object, self.told.put)
        self.folder = folder

    def place(self, number: int, **more: Any) -> Any:
        assignment = Assignment(
            *("W", "secret", "1", "python", "h", str(self.folder)), None, True, {}, "", "", "", ""
        )
        message = {
            "place": number,
            "key": "key",
            "folders": [str(self.folder)],
            "assignment": assignment.to_members(),
            "resources": {"num_gpus": 1},
            "runtime_env": {"pip": ["numpy"]},
            "strategy": "SPREAD",
            **more,
        }
        with self.placer._lock:
            self.placer._actors[number] = None
        self.placer._place(number, message)

    def next(self) -> Mapping[str, Any]:
        return self.told.get(timeout=5)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    (tmp_path / "service.py").write_text("x")
    scene = Scene(tmp_path)
    scene.placer.connect({"address": "auto"})
    assert scene.next() == {"connected": {"address": "10.0.0.1"}}
    return scene


def test_ray_is_asked_for_what_the_model_says(scene: Scene) -> None:
    scene.place(1)
    (actor,) = scene.ray.actors
    assert actor.asked == {
        "num_cpus": 1,
        "num_gpus": 1,
        "memory": None,
        "resources": None,
        "scheduling_strategy": "SPREAD",
        "runtime_env": {"pip": ["numpy"]},
        "name": "1",
        "lifetime": "detached",
        "max_restarts": 0,
        "max_concurrency": 1,
    }
    # The secret is in the call alone, which Ray's store of actors does not have.
    ((members, chunks),) = actor.calls
    assert members["secret"] == "secret"
    assert list(members["digests"].values()) == list(chunks)


def test_the_workers_of_a_model_share_what_is_stored_until_it_is_forgotten(scene: Scene) -> None:
    scene.place(1)
    scene.place(2)
    assert len(scene.ray.stored) == 1
    scene.placer.take({"forget": "key"})
    scene.place(3)
    assert len(scene.ray.stored) == 2


def test_a_worker_that_is_given_up_before_it_has_an_actor_gets_none(scene: Scene) -> None:
    actor_of = scene.ray.remote

    def start_late(kind: type) -> Any:
        scene.placer.take({"kill": 1})
        return actor_of(kind)

    scene.placer._actor_class = SimpleNamespace(
        options=lambda **asked: start_late(object).options(**asked)
    )
    scene.place(1)
    assert scene.next() == {"ended": 1, "reason": "killed"}
    assert scene.ray.has_killed.acquire(timeout=5)
    assert scene.ray.killed == scene.ray.actors
    assert scene.ray.actors[0].calls == []


def test_a_process_that_comes_after_another_one_finds_its_actors_and_ends_those_not_kept(
    scene: Scene,
) -> None:
    for number in (1, 2, 3):
        scene.place(number)
    first, second, third = scene.ray.actors
    later = Placer(scene.ray, object, scene.told.put)
    later.connect({"address": "auto"}, kept=[2, 3, 4])
    assert scene.next() == {"ended": 4, "reason": "Ray has it no more"}
    assert scene.next() == {"connected": {"address": "10.0.0.1"}}
    assert scene.ray.has_killed.acquire(timeout=5)
    assert scene.ray.killed == [first]
    later.take({"kill": 2})
    assert scene.next() == {"ended": 2, "reason": "killed"}
    _end(third, "exit code 7")
    reasons = [scene.next(), scene.next()]
    # Both processes follow it here.
    assert reasons == [{"ended": 3, "reason": "exit code 7"}] * 2


def test_at_the_server_s_end_all_its_actors_are_ended_those_without_a_node_too(
    scene: Scene,
) -> None:
    scene.place(1)
    scene.place(2)
    scene.placer.close()
    assert scene.ray.killed == scene.ray.actors
    # What is about to be placed is not any more.
    packing = {"place": 3, "key": "key", "folders": [], "assignment": {}}
    scene.placer._place(3, packing)
    assert len(scene.ray.actors) == 2


def _end(actor: Any, result: Any) -> None:
    if isinstance(result, Exception):
        actor.done.set_exception(result)
    else:
        actor.done.set_result(result)


class _Wrapped(Exception):
    def __init__(self, cause: Exception) -> None:
        super().__init__("\x1b[36mray::WorkerHost.run()\n  File ...")
        self.cause = cause


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ("exit code 7", "exit code 7"),
        (
            RuntimeError("The actor died.\n\tclass_name: W\n\tactor_id: 1\nIts node has died."),
            "The actor died. Its node has died.",
        ),
        (_Wrapped(ValueError("no such thing")), "no such thing"),
        (
            _Wrapped(ModuleNotFoundError("No module named 'mms'")),
            "No module named 'mms': nodes need the server's package, pip install \"marserve[ray]\"",
        ),
        (RuntimeError("x" * 1000 + "y"), "x" * 100 + " ... " + "x" * 299 + "y"),
    ],
)
def test_how_an_actor_ended_is_told_in_one_line(scene: Scene, result: Any, reason: str) -> None:
    scene.place(1)
    _end(scene.ray.actors[0], result)
    assert scene.next() == {"ended": 1, "reason": reason}


def test_files_that_cannot_be_read_end_the_worker_s_place(scene: Scene) -> None:
    missing = scene.folder / "service.py" / "none"
    scene.place(1, folders=[str(missing)])
    assert scene.next() == {"ended": 1, "reason": f"{missing} is neither a file nor a folder"}
    assert scene.ray.actors == []


def test_why_a_worker_has_no_node_is_told_when_it_changes(scene: Scene) -> None:
    scene.place(1)
    scene.placer.look()
    assert scene.next() == {
        "waiting": 1,
        "reason": "waiting for a node: 1 CPU, 1 GPU (none of 1 node is large enough: there are at most 0 GPUs on one)",
    }
    scene.placer.look()
    scene.ray.rooms.append({"NodeID": "b", "Alive": True, "Resources": {"CPU": 1, "GPU": 1}})
    scene.placer.look()
    assert scene.next()["reason"].endswith("(there is room: Ray starts it)")
    scene.placer.take({"placed": 1})
    scene.ray.rooms.clear()
    scene.placer.look()
    assert scene.told.empty()


def test_a_cluster_that_cannot_be_joined_is_told(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.ray.init_error = ConnectionError("no cluster\nis here")
    scene.placer.connect({"address": "auto"})
    assert scene.next() == {"failed": "no cluster is here"}


def test_a_cluster_that_asks_for_a_token_is_told_with_what_to_do(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.ray.init_error = ConnectionError("no cluster is here")
    scene.ray.init_error.__cause__ = RuntimeError("RPC error: InvalidAuthToken: ...")
    scene.placer.connect({"address": "auto"})
    assert "no cluster is here: the cluster asks for a token" in scene.next()["failed"]


_GIB = 1 << 30


@pytest.mark.parametrize(
    ("wants", "rooms", "said"),
    [
        ({}, [], "1 CPU (the cluster has no node)"),
        (
            {"num_gpus": 2},
            [({"CPU": 4, "GPU": 2}, {"CPU": 4, "GPU": 1})],
            "1 CPU, 2 GPUs (1 of 1 node could have it, but in use: at most 1 GPU free on one)",
        ),
        (
            {"num_cpus": 0, "memory": 8 * _GIB},
            [({"memory": 4 * _GIB}, {})],
            "8.0 GiB of memory (none of 1 node is large enough: there are at most 4.0 GiB of memory on one)",
        ),
        (
            {"num_gpus": 1, "resources": {"disk": 1}},
            [({"CPU": 1, "GPU": 1}, {}), ({"CPU": 1, "disk": 1}, {})],
            "1 CPU, 1 GPU, 1 disk (none of 2 nodes has all of it)",
        ),
    ],
)
def test_what_is_waited_for_and_what_there_is(
    wants: Mapping[str, Any], rooms: list[tuple[Any, Any]], said: str
) -> None:
    found = waiting_reason(wants, [NodeRoom(*room) for room in rooms])
    assert found == f"waiting for a node: {said}"
