"""What a cluster of fronts does when its owner, its fronts or their servers die."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from played_cluster import Front, TestCluster
from support.waiting import eventually

MakeCluster = Callable[..., TestCluster]


@pytest.fixture
def cluster(own_cluster: MakeCluster) -> TestCluster:
    cluster = own_cluster()
    cluster.configure(2)
    return cluster


def register(front: Front, name: str, workers: int = 2) -> None:
    reply = front.management.post(
        f"/models?url=noop&model_name={name}&initial_workers={workers}&synchronous=true"
    )
    assert reply.status == 200, reply.body


@contextlib.contextmanager
def load_on(front: Front, model: str) -> Iterator[Counter[int]]:
    """Two clients ask one after the other. Give the statuses of the answers so far."""
    statuses: Counter[int] = Counter()
    is_over = threading.Event()

    def ask() -> None:
        while not is_over.is_set():
            statuses[front.inference.post(f"/predictions/{model}", b"x").status] += 1

    clients = [threading.Thread(target=ask) for _ in range(2)]
    for client in clients:
        client.start()
    try:
        yield statuses
    finally:
        is_over.set()
        for client in clients:
            client.join(30)


def test_predictions_go_on_and_changes_are_told_to_come_back_while_there_is_no_owner(
    cluster: TestCluster,
) -> None:
    first, second = cluster.fronts(2)
    register(first, "m")
    cluster.kill("owner")
    reply = eventually(
        "a change is refused",
        lambda: (
            found
            if (found := first.management.put("/models/m?min_worker=2")).status == 503
            else None
        ),
    )
    assert reply.header("Retry-After")
    assert "owner of the cluster" in reply.json()["message"]
    assert [f.inference.post("/predictions/m", b"x").status for f in (first, second)] == [200, 200]
    cluster.begin_owner()
    eventually(
        "changes are taken again",
        lambda: first.management.put("/models/m?min_worker=4&synchronous=true").status == 200,
    )
    assert second.bounds_of("m") == (4, 4)


def test_an_owner_without_a_journal_learns_from_the_fronts_what_there_is(
    cluster: TestCluster,
) -> None:
    first, _ = cluster.fronts(2)
    register(first, "m")
    cluster.kill("owner")
    cluster.begin_owner()
    fronts = cluster.fronts(2)
    assert cluster.owner("status")["models"] == ["m"]
    assert {front.name for front in fronts} == {"front-1", "front-2"}
    assert all(row["starts"] == 1 for row in cluster.rows())


def test_a_journal_brings_a_whole_cluster_back(own_cluster: MakeCluster, tmp_path: Path) -> None:
    journal = str(tmp_path / "journal.json")
    before = own_cluster(journal=journal)
    before.configure(2)
    register(before.fronts(2)[0], "m")
    before.close()
    after = own_cluster(journal=journal)
    after.configure(2)
    for front in after.fronts(2):
        assert front.inference.post("/predictions/m", b"x").status == 200


def test_a_journal_that_cannot_be_read_is_told_and_keeps_the_cluster_from_starting(
    own_cluster: MakeCluster, tmp_path: Path
) -> None:
    path = tmp_path / "journal.json"
    path.write_text("no journal")
    cluster = own_cluster(journal=str(path))
    found = eventually("told", lambda: cluster.owner("status").get("stateFileProblem"))
    assert "is no state file of a cluster" in found
    assert path.read_text() == "no journal"


def test_a_front_that_dies_is_started_anew_and_has_what_is_registered(cluster: TestCluster) -> None:
    first, second = cluster.fronts(2)
    register(first, "m")
    with load_on(second, "m") as statuses:
        cluster.kill(first.name)
        eventually(
            "it is started anew",
            lambda: next(row for row in cluster.rows() if row["name"] == first.name)["starts"] == 2,
        )
        fronts = cluster.fronts(2)
    assert set(statuses) == {200}
    for front in fronts:
        assert front.inference.post("/predictions/m", b"x").status == 200


def test_requests_of_a_borrowed_worker_are_answered_though_its_front_dies(
    cluster: TestCluster,
) -> None:
    fronts = cluster.fronts(2)
    register(fronts[0], "single", workers=1)

    def borrows(front: Front) -> bool:
        described = front.management.get("/models/single").json()
        return bool(described["ofThisFront"]["borrowedWorkers"])

    (borrower,) = eventually("one borrows", lambda: [front for front in fronts if borrows(front)])
    (lender,) = [front for front in fronts if front is not borrower]
    with load_on(borrower, "single") as statuses:
        eventually("some are answered", lambda: statuses[200] > 20)
        cluster.kill(lender.name)
        eventually(
            "it has a worker of its own",
            lambda: not borrows(borrower) and borrower.workers_of("single"),
        )
        answered = statuses[200]
        eventually("more are answered", lambda: statuses[200] > answered + 20)
    assert set(statuses) == {200}


def test_a_server_that_dies_is_started_anew_by_its_actor(cluster: TestCluster) -> None:
    first, _ = cluster.fronts(2)
    register(first, "m")
    host = cluster.ray.actors[first.name].actor
    pid = host._server.pid
    os.kill(pid, signal.SIGKILL)
    eventually("another one runs", lambda: host._server.pid != pid)
    for front in cluster.fronts(2):
        assert front.inference.post("/predictions/m", b"x").status == 200


def test_a_server_that_cannot_start_says_why_and_is_tried_again(cluster: TestCluster) -> None:
    cluster.fronts(2)
    cluster.configure(1, default_workers_per_model="no number")
    row = eventually(
        "it says why",
        lambda: next(
            (row for row in cluster.rows() if "default_workers_per_model" in row.get("reason", "")),
            None,
        ),
    )
    assert row["state"] in ("FAILED", "STARTING")
    cluster.configure(1)
    cluster.fronts(1)


def test_fronts_come_and_go_as_many_as_are_wanted(cluster: TestCluster) -> None:
    first, _ = cluster.fronts(2)
    register(first, "m", workers=3)
    cluster.configure(3)
    for front in cluster.fronts(3):
        eventually("each has one", lambda front=front: len(front.workers_of("m")) == 1)
    cluster.configure(1)
    (left,) = cluster.fronts(1)
    eventually("it has all", lambda: len(left.workers_of("m")) == 3)


def test_fronts_with_other_settings_are_started_anew_one_after_the_other(
    cluster: TestCluster,
) -> None:
    first, _ = cluster.fronts(2)
    register(first, "m")
    cluster.configure(2, default_workers_per_model="3")
    up = [2]

    def look() -> bool:
        rows = cluster.rows()
        up.append(sum(row["state"] == "UP" for row in rows))
        return all(row["starts"] == 2 and row["state"] == "UP" for row in rows)

    eventually("all are new", look, 40)
    assert min(up) >= 1
    for front in cluster.fronts(2):
        assert front.inference.post("/predictions/m", b"x").status == 200


def test_a_front_waits_for_a_node_of_its_own(own_cluster: MakeCluster) -> None:
    cluster = own_cluster(nodes=1)
    cluster.configure(2, shares_nodes=False)
    rows = eventually(
        "one waits",
        lambda: [row for row in cluster.rows() if row["state"] == "WAITING" and row.get("reason")],
    )
    assert rows[0]["reason"] == "waiting for a node that has no front yet"
    cluster.ray.node_ids.append("node-2")
    fronts = cluster.fronts(2)
    assert {row["node"] for row in cluster.rows()} == {"node-1", "node-2"}
    assert len(fronts) == 2
