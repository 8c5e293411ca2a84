"""`mms cluster` on real nodes of Ray, with `--full` alone: a cluster takes 10 s."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from played_cluster import Front
from support.server import MODELS
from support.waiting import eventually

sys.path.append(str(Path(__file__).parents[1] / "launch" / "placing"))
from real_cluster import started_cluster  # it stands beside the tests of workers

_MMS = str(Path(sys.executable).with_name("mms"))
_ANY_PORT = (
    *("--set", "inference_address=http://127.0.0.1:0"),
    *("--set", "management_address=http://127.0.0.1:0"),
)


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    with started_cluster(request, "cluster.py", "3") as cluster:
        yield cluster


class Commands:
    def __init__(self, address: str, folder: Path) -> None:
        self._address = address
        self._folder = folder

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [_MMS, "cluster", words[0], "--ray-address", self._address, *words[1:]],
            capture_output=True,
            text=True,
            timeout=110,
            cwd=self._folder,
            env={**os.environ, "RAY_AUTH_MODE": "disabled"},
        )

    def up(self, count: int, *more: str) -> list[Front]:
        done = self.run(
            *("up", "--fronts", str(count), "--model-store", str(MODELS), "--json"),
            *(*_ANY_PORT, *more),
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return [Front(row) for row in json.loads(done.stdout)["fronts"]]

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return status


@pytest.fixture
def commands(cluster: dict[str, Any], tmp_path: Path) -> Iterator[Commands]:
    commands = Commands(cluster["address"], tmp_path)
    yield commands
    commands.run("down")


def actors(name: str) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(name in word for word in process.info["cmdline"] or [])
    ]


def register(front: Front, workers: int) -> None:
    reply = front.management.post(
        f"/models?url=noop&model_name=m&initial_workers={workers}&synchronous=true"
    )
    assert reply.status == 200, reply.body


def test_fronts_serve_on_and_follow_each_other_though_their_owner_is_killed(
    commands: Commands, tmp_path: Path
) -> None:
    fronts = commands.up(2, "--state-file", str(tmp_path / "state.json"))
    register(fronts[0], 2)
    (owner,) = actors("ray::Owner")
    statuses: Counter[int] = Counter()
    is_over = threading.Event()

    def ask(front: Front) -> None:
        while not is_over.is_set():
            statuses[front.inference.post("/predictions/m", b"x").status] += 1
            time.sleep(0.01)

    clients = [threading.Thread(target=ask, args=(front,)) for front in fronts]
    for client in clients:
        client.start()
    owner.kill()
    eventually(
        "a change is taken again",
        lambda: fronts[0].management.put("/models/m?min_worker=4").status == 202,
        60,
    )
    assert fronts[1].bounds_of("m") == (4, 4)
    is_over.set()
    for client in clients:
        client.join()
    assert set(statuses) == {200}


def test_a_front_that_is_killed_is_replaced_and_its_workers_are_the_others_meanwhile(
    commands: Commands,
) -> None:
    fronts = commands.up(2)
    register(fronts[0], 2)
    actors("ray::FrontHost")[0].kill()
    eventually(
        "it is there again",
        lambda: sum(row["starts"] for row in commands.status()["fronts"]) == 3,
        60,
    )
    for front in commands.up(2):
        assert front.inference.post("/predictions/m", b"x").status == 200


def test_a_change_reaches_all_fronts_within_a_fifth_of_a_second(commands: Commands) -> None:
    first, second = commands.up(2)
    register(first, 2)
    for count in (3, 4, 5):
        assert first.management.put(f"/models/m?min_worker={count}&max_worker=9").status == 202
        told_at = time.monotonic()
        eventually("the other one has it", lambda count=count: second.bounds_of("m") == (count, 9))
        assert time.monotonic() - told_at < 0.2


def test_the_end_of_a_cluster_leaves_nothing(commands: Commands) -> None:
    register(commands.up(2)[0], 2)
    done = commands.run("down")
    assert done.returncode == 0, done.stderr
    eventually("all are gone", lambda: not actors("ray::FrontHost") + actors("ray::Owner"))
    assert commands.run("status").returncode == 3
