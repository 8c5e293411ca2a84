"""A server whose clients' connections are held by processes of their own.

Clients cannot tell: `pytest tests/conformance --fronts 2` runs all rules against such servers, and with `--full` a test
here does. What is here besides is what only these processes can do.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from support.client import request_bytes
from support.server import Server, ServerPool
from support.waiting import eventually

ROOT = Path(__file__).parents[2]
NOOP = request_bytes("POST", "/predictions/noop", b"x")
#: Files whose rules are of connections, of predictions, and of what travels between.
_RULES = (
    *("test_body_codings", "test_connections", "test_hostile_requests", "test_keys"),
    *("test_mutual_tls", "test_open_inference_streams", "test_openai", "test_rate_limit"),
    *("test_request_data", "test_request_ids", "test_results", "test_seldon_grpc"),
    *("test_seldon_rest", "test_slow_clients", "test_smuggling", "test_streams"),
    *("test_time_and_health", "test_tls", "test_urls"),
)

pytestmark = pytest.mark.better_than_mms


@pytest.fixture(scope="module")
def fronted(servers: ServerPool) -> Server:
    """Two processes hold the connections."""
    return servers.get("fronted", "on")


def _fronts(server: Server) -> list[dict[str, int]]:
    found = server.management.get("/console/snapshot").json()["fronts"]
    assert isinstance(found, list)
    return found


def test_clients_cannot_tell_them_from_the_server_s_own(
    request: pytest.FixtureRequest, is_full: bool
) -> None:
    if request.config.getoption("--fronts", default=""):
        pytest.skip("this run is that one")
    if not is_full:
        pytest.skip("--full runs the rules of connections and predictions in minutes; others here")
    files = [f"tests/conformance/{name}.py" for name in _RULES]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--fronts", "2", *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-5000:]


def test_the_access_log_has_the_client_s_own_address(fronted: Server) -> None:
    with fronted.inference.wire() as wire:
        wire.send(NOOP)
        assert wire.read_reply().status == 200
        _, port = wire.socket.getsockname()
        line = f'/127.0.0.1:{port} "POST /predictions/noop HTTP/1.1" 200'
        eventually("the line is there", lambda: line in fronted.log("access_log.log"))


def test_connections_are_counted_by_the_process_that_holds_them(fronted: Server) -> None:
    wires = [fronted.inference.wire() for _ in range(12)]
    for wire in wires:
        wire.send(NOOP)
        wire.read_reply()
    eventually("all are seen", lambda: sum(f["connections"] for f in _fronts(fronted)) >= 12)
    metrics = fronted.management.get("/metrics").text
    assert 'mms_front_connections{front="2"}' in metrics
    for wire in wires:
        wire.socket.close()
    eventually("none is left", lambda: not any(f["connections"] for f in _fronts(fronted)))


def test_pipelined_requests_and_what_the_other_side_serves_come_in_their_order(
    fronted: Server,
) -> None:
    with fronted.inference.wire() as wire:
        # The last ones move the connection to aiohttp.
        wire.send(NOOP * 40 + request_bytes("GET", "/ping") * 3)
        replies = [wire.read_reply() for _ in range(43)]
    assert {reply.status for reply in replies} == {200}
    assert "Healthy" in replies[-1].text
    with fronted.inference.wire() as wire:
        wire.send(request_bytes("POST", "/predictions/noop", None, "Content-Length: 3000000"))
        wire.send(bytes(3_000_000))
        assert wire.read_reply().status == 200


def test_a_killed_one_under_load_costs_its_own_clients_alone(fronted: Server) -> None:
    """Each client opens a connection anew where it loses its own, and is served at once."""
    ends: Counter[str] = Counter()
    is_over = threading.Event()

    def ask() -> None:
        while not is_over.is_set():
            with fronted.inference.wire() as wire:
                while not is_over.is_set():
                    try:
                        wire.send(NOOP)
                        ends[str(wire.read_reply().status)] += 1
                    except OSError:
                        ends["lost"] += 1
                        break

    clients = [threading.Thread(target=ask) for _ in range(8)]
    for client in clients:
        client.start()
    try:
        eventually("all ask", lambda: sum(f["connections"] for f in _fronts(fronted)) == 8)
        first = _fronts(fronted)[0]
        os.kill(first["pid"], signal.SIGKILL)
        eventually(
            "another one has come", lambda: _fronts(fronted)[0]["pid"] not in (0, first["pid"])
        )
        seen = ends["200"]
        eventually("all go on", lambda: ends["200"] > seen + 100)
    finally:
        is_over.set()
        for client in clients:
            client.join(20)
    # A client that connects just then may be on its way through the process that is killed.
    assert ends["lost"] <= first["connections"] + 1
    assert set(ends) <= {"200", "lost"}
    assert _fronts(fronted)[0]["restarts"] == 1


def test_they_end_within_a_second_of_the_server(servers: ServerPool, is_full: bool) -> None:
    if not is_full:
        pytest.skip("starts a server to kill it; tests/sockets closes the socket that they watch")
    server = Server(servers.new_directory(), {"fronts": "2"}).start()
    try:
        pids = [front["pid"] for front in _fronts(server)]
        assert all(psutil.pid_exists(pid) for pid in pids)
        owner = psutil.Process(psutil.Process(pids[0]).ppid())
        owner.kill()
        killed_at = time.monotonic()
        eventually("they are gone", lambda: not any(map(_is_running, pids)))
        assert time.monotonic() - killed_at < 1.0
    finally:
        server.kill()


def _is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
