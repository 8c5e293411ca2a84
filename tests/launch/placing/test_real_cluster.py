"""The same on real nodes of Ray, on loopback addresses of this machine, with `--full` alone: a cluster takes 10 s."""

from __future__ import annotations

import ast
import contextlib
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest
from real_cluster import nodes_of, register, started_cluster, started_server
from support.processes import command_line, tagged_processes
from support.server import Server
from support.waiting import eventually

ROOT = Path(__file__).resolve().parents[3]
#: Of predictions and management.
_CONFORMANCE = (
    *("test_results", "test_request_data", "test_registering", "test_unregistering"),
    *("test_scaling", "test_describing_and_listing"),
)
#: Of a machine's own, which is refused with Ray.
_OF_ONE_MACHINE = "not gpus_are_named_by_number"


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    with started_cluster(request, "cluster.py", "3") as cluster:
        yield cluster


@pytest.fixture
def server(cluster: dict[str, Any], tmp_path: Path) -> Iterator[Server]:
    with started_server(cluster, tmp_path) as server:
        yield server


def tree_of(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def kill(process: psutil.Process) -> None:
    """Kill a process and all below it."""
    for each in tree_of(process):
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()


@contextlib.contextmanager
def load_on(server: Server, rate: int) -> Iterator[Counter[int]]:
    """Ten clients ask for ten seconds, `rate` times a second in all. Give the statuses of the answers so far."""
    statuses: Counter[int] = Counter()
    began_at = time.monotonic()

    def ask(turn: int) -> None:
        for number in range(rate):
            due = began_at + (number + turn / 10) * 10 / rate
            time.sleep(max(due - time.monotonic(), 0))
            statuses[server.inference.post("/predictions/m", b"x").status] += 1

    clients = [threading.Thread(target=ask, args=(turn,)) for turn in range(10)]
    for client in clients:
        client.start()
    try:
        yield statuses
    finally:
        for client in clients:
            client.join(60)


def placers_of(server: Server) -> list[psutil.Process]:
    """Return the processes of a server that talk to Ray."""
    found = tagged_processes(server.tag)
    return [each for each in found if "placer_process import run" in " ".join(command_line(each))]


def hosts_running() -> list[psutil.Process]:
    """Return the actors on this machine, of whatever server."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if "ray::WorkerHost" in " ".join(process.info["cmdline"] or ())
    ]


def names_of_actors(cluster: dict[str, Any]) -> list[str]:
    """Return the actors that the cluster has or is to have, of all servers."""
    code = (
        f"import ray; ray.init(address={cluster['address']!r}, log_to_driver=False, namespace='test')\n"
        "print([each['name'] for each in ray.util.list_named_actors(all_namespaces=True)])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names: list[str] = ast.literal_eval(run.stdout.splitlines()[-1])
    return names


@pytest.mark.timeout(900)
def test_clients_cannot_tell_workers_on_nodes_from_those_beside_the_server(
    cluster: dict[str, Any],
) -> None:
    files = [f"tests/conformance/{name}.py" for name in _CONFORMANCE]
    options = ["-q", "-p", "no:cacheprovider", "--lane", "on", "--ray", cluster["address"]]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *files, *options, "-k", _OF_ONE_MACHINE],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-5000:]


def test_the_death_of_a_node_under_load_is_no_client_s_error(
    cluster: dict[str, Any], server: Server
) -> None:
    """200 requests a second for 20 ms each; two of three nodes stay, with three workers each."""
    register(server, 9)
    eventually("each node has workers", lambda: len(nodes_of(server)) == 3)
    with load_on(server, 200) as statuses:
        eventually("the load runs", lambda: statuses[200] > 400)
        for pid in cluster["pids"].pop():
            kill(psutil.Process(pid))
    assert statuses == {200: 2000}
    eventually("all workers are there again", lambda: nodes_of(server).total() == 9, 60)
    assert len(nodes_of(server)) == 2


def test_a_model_may_have_its_workers_on_few_nodes_where_the_server_spreads_them(
    server: Server,
) -> None:
    register(server, 3, "&ray_strategy=pack")
    assert len(nodes_of(server)) == 1


def test_workers_outlive_the_process_that_talks_to_ray_and_the_next_one_ends_them(
    server: Server,
) -> None:
    register(server, 4)
    hosts = hosts_running()
    workers = nodes_of(server)
    with load_on(server, 50) as statuses:
        eventually("the load runs", lambda: statuses[200] > 50)
        (former,) = placers_of(server)
        kill(former)
    assert statuses == {200: 500}
    assert hosts_running() == hosts
    assert nodes_of(server) == workers
    # The next one has found them: it is who ends what the model needs no more, and gets new ones.
    eventually("there is another one", lambda: len(placers_of(server)) == 1)
    assert server.management.put("/models/m?min_worker=6&synchronous=true").status == 200
    assert nodes_of(server).total() == 6
    assert server.management.delete("/models/m").status == 200
    eventually("no host is left", lambda: not hosts_running())


def test_a_head_that_starts_anew_under_load_is_no_client_s_error(
    cluster: dict[str, Any], server: Server
) -> None:
    register(server, 4)
    workers = nodes_of(server)
    with load_on(server, 50) as statuses:
        eventually("the load runs", lambda: statuses[200] > 50)
        process = cluster["process"]
        process.stdin.write(b"head\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"{}\n"
    assert statuses == {200: 500}
    assert nodes_of(server) == workers
    # And the cluster is one.
    assert server.management.put("/models/m?min_worker=6&synchronous=true").status == 200
    assert nodes_of(server).total() == 6


def test_a_node_that_stands_still_for_two_seconds_is_no_client_s_error(
    cluster: dict[str, Any], server: Server
) -> None:
    register(server, 4)
    workers = nodes_of(server)
    with load_on(server, 50) as statuses:
        eventually("the load runs", lambda: statuses[200] > 50)
        node = [each for pid in cluster["pids"][0] for each in tree_of(psutil.Process(pid))]
        for process in node:
            process.suspend()
        time.sleep(2)
        for process in node:
            process.resume()
    assert statuses == {200: 500}
    assert nodes_of(server) == workers


def test_a_server_that_stops_while_a_worker_waits_leaves_nothing_and_another_one_serves_on(
    cluster: dict[str, Any], server: Server, tmp_path: Path
) -> None:
    register(server, 2)
    kept = hosts_running()
    with started_server(cluster, tmp_path / "other") as other:
        # The same name of a model, and the same numbers of actors.
        register(other, 2)
        waits = "&synchronous=false&ray_resources=" + quote('{"resources": {"nowhere": 1}}')
        path = f"/models?url=sleeps&model_name=n&initial_workers=1{waits}"
        assert other.management.post(path).status == 202
        eventually("all have been asked for", lambda: len(names_of_actors(cluster)) == 5)
    eventually("its actors are gone", lambda: len(names_of_actors(cluster)) == 2)
    assert hosts_running() == kept
    assert server.inference.post("/predictions/m", b"x").status == 200


def test_hosts_end_with_the_server(server: Server) -> None:
    register(server, 2)
    hosts = hosts_running()
    workers = [child for host in hosts for child in host.children(recursive=True)]
    assert len(workers) >= len(hosts) >= 2
    server.signal_main(9)
    gone, left = psutil.wait_procs([*hosts, *workers], timeout=5)
    assert left == []
