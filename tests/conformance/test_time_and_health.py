"""Deadlines, priorities, shedding, and the health that probes ask for."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import pytest
from support.background import Background, Gate
from support.client import Reply, request_bytes
from support.server import Server, manifest, unique_name
from support.waiting import eventually

pytestmark = pytest.mark.better_than_mms

SLOW_LOAD = """
import os, time
def handle(data, context):
    while not os.path.exists({gate!r}):
        time.sleep(0.005)
    return ['OK'] * len(data or [1])
"""


def lost(server: Server, name: str, reason: str, where: str) -> float:
    """Requests of a model that were lost, by the metrics."""
    text = server.management.get("/metrics").text
    pattern = rf'mms_requests_lost_total{{model="{name}",reason="{reason}",version="[^"]*",where="{where}"}} (\S+)'
    found = re.search(pattern, text)
    assert found, text
    return float(found[1])


def ask(server: Server, name: str, order: object, **headers: str) -> Reply:
    pairs = {"Content-Type": "application/json"}
    pairs |= {key.replace("_", "-"): value for key, value in headers.items()}
    body = json.dumps(order).encode()
    return server.inference.request("POST", f"/predictions/{name}", body, pairs)


@pytest.mark.edge
@pytest.mark.parametrize("header", [{"x_request_timeout": "150"}, {"Request_Timeout": "0.15"}])
def test_a_queued_request_is_given_up_at_its_deadline_and_never_executed(
    server: Server, scratch: Path, gate: Gate, header: dict[str, str]
) -> None:
    with server.registered("obey") as name:
        first = Background(lambda: server.inference.post_json(f"/predictions/{name}", gate.order))
        gate.wait_until_reached()
        touched = scratch / "touched"
        reply = ask(server, name, {"touch": str(touched)}, **header)
        assert reply.status == 408
        assert reply.json() == {
            "code": 408,
            "type": "RequestTimeoutException",
            "message": "The request's deadline passed while it was queued.",
        }
        gate.open()
        assert first.result().status == 200
        assert ask(server, name, {}).status == 200
        assert not touched.exists()
        assert lost(server, name, "expired", "queue") == 1


def test_a_deadline_in_the_far_future_is_one_that_is_kept(server: Server) -> None:
    with server.registered("obey") as name, server.registered("obey") as other:
        # 2^32 ms and more, and 300 digits.
        for header in (
            {"x_request_timeout": "5000000000"},
            {"x_request_timeout": "9" * 300},
            {"Request_Timeout": "4294967.296"},
            {"Request_Timeout": "1" * 300},
        ):
            asked = [
                Background(partial(ask, server, which, {}, **more))
                for which in (name, other)
                for more in (header, {}, header, {})
            ]
            assert [found.result().status for found in asked] == [200] * 8, header
            assert ask(server, name, {}).status == 200
        assert server.describe(name)["workers"][0]["restarts"] == 0


@pytest.mark.parametrize("is_json", [False, True], ids=["query", "JSON"])
@pytest.mark.parametrize("amount", [5_000_000, 10**12, 10**17], ids=["5e6", "1e12", "1e17"])
def test_a_registration_s_times_may_be_of_any_length(
    server: Server, is_json: bool, amount: int
) -> None:
    name = unique_name("long")
    names = ("request_timeout", "response_timeout", "load_timeout", "max_batch_delay")
    order = dict.fromkeys((*names, "max_queue_time_ms"), amount)
    order |= {"url": "obey", "model_name": name, "initial_workers": 1, "synchronous": "true"}
    if is_json:
        registered = server.management.post_json("/models", order)
    else:
        registered = server.management.post(f"/models?{urlencode(order)}")
    assert registered.status == 200, registered
    assert ask(server, name, {}).status == 200
    server.unregister(name)


@pytest.mark.edge
def test_a_running_request_is_answered_at_its_deadline_and_the_worker_goes_on(
    server: Server, gate: Gate
) -> None:
    with server.registered("obey") as name:
        before = server.describe(name)["workers"][0]["pid"]
        reply = ask(server, name, gate.order, x_request_timeout="150")
        assert reply.status == 408
        assert reply.json()["message"] == "The request's deadline passed while it was processed."
        gate.open()
        assert ask(server, name, {}).status == 200
        assert server.describe(name)["workers"][0]["pid"] == before
        assert lost(server, name, "expired", "worker") == 1


@pytest.mark.edge
def test_a_model_s_timeout_counts_for_every_request(server: Server, gate: Gate) -> None:
    with server.registered("obey", request_timeout="0.15") as name:
        assert server.describe(name)["requestTimeout"] == 0.15
        assert ask(server, name, gate.order).status == 408
        gate.open()
        eventually("it serves again", lambda: ask(server, name, {}).status == 200)


@pytest.mark.edge
@pytest.mark.parametrize(
    ("name", "value"),
    [("x-request-timeout", "soon"), ("Request-Timeout", "-1"), ("x-request-priority", "urgent")],
)
def test_a_header_that_cannot_be_understood_is_named(server: Server, name: str, value: str) -> None:
    reply = server.inference.request("POST", "/predictions/noop", b"x", {name: value})
    assert reply.status == 400
    assert name.lower() in reply.json()["message"]
    assert value in reply.json()["message"]


@pytest.mark.parametrize(
    ("name", "value"), [("request_timeout", "soon"), ("max_queue_time_ms", "-1")]
)
def test_a_limit_of_a_registration_that_is_none_is_named(
    server: Server, name: str, value: str
) -> None:
    reply = server.management.post(f"/models?url=noop&{name}={value}")
    assert reply.status == 400
    assert name in reply.json()["message"]


@pytest.mark.edge
def test_urgent_requests_are_served_before_those_that_came_earlier(
    server: Server, scratch: Path, gate: Gate
) -> None:
    served = scratch / "served"
    source = (
        "import os, time\n"
        "def handle(data, context):\n"
        "    for item in data or []:\n"
        "        order = item['body']\n"
        "        if 'wait for' in order:\n"
        "            open(order['touch'], 'w').close()\n"
        "            while not os.path.exists(order['wait for']):\n"
        "                time.sleep(0.005)\n"
        f"        open({str(served)!r}, 'a').write(order.get('name', '') + ' ')\n"
        "    return data and ['OK'] * len(data)\n"
    )
    url = server.write_model(unique_name("ordered"), source, manifest("ordered"))
    with server.registered(url) as name:
        first = Background(lambda: ask(server, name, gate.order))
        gate.wait_until_reached()
        waiting = []
        for count, priority in enumerate(("low", "normal", "high"), 1):
            waiting.append(
                Background(
                    partial(ask, server, name, {"name": priority}, x_request_priority=priority)
                )
            )
            server.wait_until_queued(name, count)
        gate.open()
        assert first.result().status == 200
        assert [call.result().status for call in waiting] == [200] * 3
    assert served.read_text().split() == ["high", "normal", "low"]


@pytest.mark.edge
def test_what_has_waited_for_too_long_is_refused(server: Server, gate: Gate) -> None:
    with server.registered("obey", max_queue_time_ms="100") as name:
        first = Background(lambda: server.inference.post_json(f"/predictions/{name}", gate.order))
        gate.wait_until_reached()
        reply = ask(server, name, {})
        assert reply.status == 503
        assert reply.header("retry-after") == "1"
        assert "No worker is available" in reply.json()["message"]
        gate.open()
        assert first.result().status == 200
        assert lost(server, name, "shed", "queue") == 1


@pytest.mark.edge
def test_what_a_full_queue_has_no_room_for_is_counted(server: Server, gate: Gate) -> None:
    with server.registered("obey", job_queue_size=2) as name:
        path = f"/predictions/{name}"
        first = Background(lambda: server.inference.post_json(path, gate.order))
        gate.wait_until_reached()
        queued = [Background(lambda: ask(server, name, {})) for _ in range(2)]
        server.wait_until_queued(name, 2)
        assert [ask(server, name, {}).status for _ in range(3)] == [503] * 3
        gate.open()
        assert [call.result().status for call in (first, *queued)] == [200] * 3
        assert lost(server, name, "refused", "queue") == 3


@pytest.mark.edge
def test_a_client_that_goes_is_counted(server: Server, gate: Gate) -> None:
    with server.registered("obey") as name:
        body = json.dumps(gate.order).encode()
        with server.inference.wire() as wire:
            path = f"/predictions/{name}"
            wire.send(request_bytes("POST", path, body, "Content-Type: application/json"))
            gate.wait_until_reached()
        eventually("it is counted", lambda: lost(server, name, "cancelled", "worker") == 1)
        gate.open()
        assert ask(server, name, {}).status == 200


def test_probes_find_a_server_that_is_ready(server: Server) -> None:
    for client in (server.inference, server.management):
        assert client.get("/livez").json() == {"status": "Live"}
        assert client.get("/startupz").json() == {"status": "Started"}
        reply = client.get("/readyz")
        assert (reply.status, reply.json()) == (200, {"status": "Ready"})
        assert client.post("/readyz").status == 405


def test_a_model_that_loads_is_not_ready_and_says_what_it_does(
    start_server: Callable[..., Server], lane: str
) -> None:
    server = start_server({"lane": lane.removeprefix("lane=")})
    gate = server.directory / "gate"
    server.write_model("slow", SLOW_LOAD.format(gate=str(gate)), manifest("slow"))
    assert server.register("slow", initial_workers=1, synchronous="false").status == 202
    eventually(
        "its worker has come to load it",
        lambda: [w["state"] for w in server.describe("slow")["workers"]] == ["LOADING"],
    )
    reply = server.inference.get("/models/slow/ready")
    assert reply.status == 503
    assert reply.json()["status"] == "NotReady"
    assert "W-slow-0" in reply.json()["reasons"][0]
    assert server.inference.get("/readyz").json()["reasons"] == reply.json()["reasons"]
    assert server.inference.get("/livez").status == 200
    gate.touch()
    eventually("it is ready", lambda: server.management.get("/models/slow/ready").status == 200)
    assert server.inference.get("/readyz").status == 200


def test_a_model_in_a_crash_loop_is_not_ready_and_says_why(server: Server) -> None:
    with server.registered("obey") as name:

        def has_backed_off() -> bool:
            reply = server.inference.get(f"/models/{name}/ready")
            if reply.status == 503:
                return "waits for its next start" in reply.json()["reasons"][0]
            # One that has come up again; it is killed before it has done any work.
            pid = server.describe(name)["workers"][0]["pid"]
            if pid:
                # It may have ended since it was described.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return False

        eventually("the model backs off", has_backed_off)
        eventually(
            "a worker is back", lambda: server.inference.get(f"/models/{name}/ready").status == 200
        )


def test_a_model_without_workers_is_not_ready_but_no_fault_of_the_server(server: Server) -> None:
    with server.registered("noop", initial_workers=0) as name:
        reply = server.inference.get(f"/models/{name}/ready")
        assert reply.status == 503
        (reason,) = reply.json()["reasons"]
        assert re.fullmatch(rf"Model {name} \S+ has no workers\.", reason)
        assert server.inference.get("/readyz").status == 200


@pytest.mark.edge
def test_a_model_that_is_not_there_is_not_found(server: Server) -> None:
    assert server.inference.get("/models/absent/ready").status == 404
