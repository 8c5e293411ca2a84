"""How requests are gathered into batches, and the queue."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.background import Background, Gate
from support.client import Reply, Wire, in_parallel, request_bytes
from support.server import Server, unique_name
from support.waiting import eventually


def _call(server: Server, name: str, number: int, **order: object) -> Callable[[], Reply]:
    return lambda: server.inference.post_json(f"/predictions/{name}", {"id": number, **order})


def _queue(server: Server, name: str, count: int) -> list[Wire]:
    """Send requests that have to wait, each on its connection, until the server has them."""
    wires = [server.inference.wire() for _ in range(count)]
    for number, wire in enumerate(wires):
        body = json.dumps({"id": number}).encode()
        path = f"/predictions/{name}"
        wire.send(request_bytes("POST", path, body, "Content-Type: application/json"))
    server.wait_until_queued(name, count)
    return wires


def _answers(wires: list[Wire]) -> list[Reply]:
    replies = []
    for wire in wires:
        with wire:
            replies.append(wire.read_reply())
    return replies


def test_a_fixed_batch_waits_for_its_size_and_not_for_its_delay(server: Server) -> None:
    with server.registered(
        "batch", batch_size=4, max_batch_delay=30000, batch_policy="fixed"
    ) as name:
        begun = time.monotonic()
        replies = in_parallel(_call(server, name, number) for number in range(4))
        elapsed_s = time.monotonic() - begun
    assert [reply.status for reply in replies] == [200] * 4
    assert [reply.json()["size"] for reply in replies] == [4] * 4
    assert [reply.json()["batch_size"] for reply in replies] == [4] * 4
    assert sorted(reply.json()["index"] for reply in replies) == [0, 1, 2, 3]
    assert elapsed_s < 20


def test_every_request_of_a_batch_gets_its_own_answer(server: Server) -> None:
    with server.registered(
        "batch", batch_size=3, max_batch_delay=20000, batch_policy="fixed"
    ) as name:
        replies = in_parallel(_call(server, name, number) for number in range(3))
    for number, reply in enumerate(replies):
        answer = reply.json()
        assert answer["id"] == number
        assert answer["ids"][answer["index"]] == number
        assert answer["request_id"] == reply.header("x-request-id")


def test_a_fixed_batch_that_does_not_fill_is_run_after_its_delay(server: Server) -> None:
    with server.registered(
        "batch", batch_size=4, max_batch_delay=600, batch_policy="fixed"
    ) as name:
        begun = time.monotonic()
        reply = _call(server, name, 1)()
        elapsed_s = time.monotonic() - begun
    assert reply.json()["size"] == 1
    assert 0.55 <= elapsed_s < 20


def test_a_fixed_batch_takes_no_more_than_its_size(server: Server, gate: Gate) -> None:
    with server.registered(
        "batch", batch_size=2, max_batch_delay=300, batch_policy="fixed"
    ) as name:
        first = Background(_call(server, name, 99, **gate.order))
        gate.wait_until_reached()
        wires = _queue(server, name, 5)
        gate.open()
        replies = _answers(wires)
        first.result()
    assert sorted(reply.json()["size"] for reply in replies) == [1, 2, 2, 2, 2]


def test_a_fixed_batch_without_a_delay_takes_two_at_most(server: Server, gate: Gate) -> None:
    with server.registered("batch", batch_size=4, max_batch_delay=0, batch_policy="fixed") as name:
        first = Background(_call(server, name, 99, **gate.order))
        gate.wait_until_reached()
        wires = _queue(server, name, 4)
        gate.open()
        replies = _answers(wires)
        first.result()
    assert [reply.json()["size"] for reply in replies] == [2, 2, 2, 2]


def test_a_batch_of_size_one_is_not_waited_for(server: Server) -> None:
    with server.registered(
        "batch", batch_size=1, max_batch_delay=30000, batch_policy="fixed"
    ) as name:
        begun = time.monotonic()
        assert _call(server, name, 1)().status == 200
        assert time.monotonic() - begun < 20


def test_a_status_of_one_request_is_its_own(server: Server) -> None:
    with server.registered(
        "batch", batch_size=3, max_batch_delay=20000, batch_policy="fixed"
    ) as name:
        replies = in_parallel(
            [_call(server, name, 0), _call(server, name, 1, status=418), _call(server, name, 2)]
        )
    assert [reply.status for reply in replies] == [200, 418, 200]
    assert [reply.json()["id"] for reply in replies] == [0, 1, 2]


@pytest.mark.better_than_mms
def test_an_idle_worker_takes_a_request_at_once_by_default(server: Server) -> None:
    with server.registered("batch", batch_size=8, max_batch_delay=30000) as name:
        begun = time.monotonic()
        assert _call(server, name, 1)().json()["size"] == 1
        assert time.monotonic() - begun < 20


@pytest.mark.better_than_mms
def test_requests_that_wait_for_a_busy_worker_go_together(server: Server, gate: Gate) -> None:
    with server.registered("batch", batch_size=4, max_batch_delay=20000) as name:
        first = Background(_call(server, name, 99, **gate.order))
        gate.wait_until_reached()
        wires = _queue(server, name, 4)
        gate.open()
        replies = _answers(wires)
        first.result()
    assert [reply.json()["size"] for reply in replies] == [4] * 4


@pytest.mark.better_than_mms
def test_the_batch_policy_is_described(main_server: Server) -> None:
    with main_server.registered("batch", initial_workers=0) as name:
        assert main_server.describe(name)["batchPolicy"] == "adaptive"
    with main_server.registered("batch", initial_workers=0, batch_policy="fixed") as name:
        assert main_server.describe(name)["batchPolicy"] == "fixed"


@pytest.mark.better_than_mms
def test_an_unknown_batch_policy_is_400(main_server: Server) -> None:
    reply = main_server.register("batch", model_name=unique_name("batch"), batch_policy="eager")
    assert (reply.status, reply.json()["type"]) == (400, "BadRequestException")
    assert "eager" in reply.json()["message"]


@pytest.mark.better_than_mms
def test_an_error_reaches_every_request_of_its_batch(server: Server) -> None:
    with server.registered(
        "batch", batch_size=4, max_batch_delay=20000, batch_policy="fixed"
    ) as name:
        before = {r.json()["pid"] for r in in_parallel(_call(server, name, n) for n in range(4))}
        orders: list[dict[str, Any]] = [{}, {"raise": "no"}, {}, {}]
        replies = in_parallel(
            _call(server, name, number, **order) for number, order in enumerate(orders)
        )
        after = {r.json()["pid"] for r in in_parallel(_call(server, name, n) for n in range(4))}
    for reply in replies:
        assert (reply.status, reply.json()) == (
            503,
            {"code": 503, "type": "InternalServerException", "message": "Prediction failed"},
        )
    assert before == after


@pytest.mark.better_than_mms
def test_a_bad_input_does_not_fail_its_batch(server: Server) -> None:
    def call_with(name: str, body: str) -> Callable[[], Reply]:
        return lambda: server.inference.post(
            f"/predictions/{name}", body, content_type="application/json"
        )

    with server.registered(
        "batch", batch_size=3, max_batch_delay=2000, batch_policy="fixed"
    ) as name:
        bodies = [json.dumps({"id": 0}), "{broken", json.dumps({"id": 2})]
        replies = in_parallel(call_with(name, body) for body in bodies)
    assert [reply.status for reply in replies] == [200, 400, 200]
    assert replies[1].json()["type"] == "BadRequestException"
    assert [replies[0].json()["id"], replies[2].json()["id"]] == [0, 2]


@pytest.mark.better_than_mms
def test_a_result_that_cannot_be_written_does_not_fail_its_batch(server: Server) -> None:
    with server.registered(
        "batch", batch_size=3, max_batch_delay=20000, batch_policy="fixed"
    ) as name:
        orders: list[dict[str, Any]] = [{}, {"bad result": True}, {}]
        replies = in_parallel(
            _call(server, name, number, **order) for number, order in enumerate(orders)
        )
    assert [reply.status for reply in replies] == [200, 503, 200]
    assert replies[1].json()["message"] == "Unsupported model output data type."


@pytest.mark.edge
@pytest.mark.better_than_mms
def test_a_full_queue_is_503(server: Server, gate: Gate) -> None:
    with server.registered("obey", job_queue_size=2) as name:

        def predict() -> Reply:
            return server.inference.post_json(f"/predictions/{name}", gate.order)

        calls = [Background(predict)]
        gate.wait_until_reached()
        calls += [Background(predict) for _ in range(6)]

        def refused_calls() -> list[Background[Reply]]:
            return [call for call in calls if call.is_done]

        eventually("the queue overflows", lambda: len(refused_calls()) >= 4)
        refused = [call.result() for call in refused_calls()]
        gate.open()
        replies = [call.result() for call in calls]
    for reply in refused:
        assert (reply.status, reply.json()) == (
            503,
            {
                "code": 503,
                "type": "ServiceUnavailableException",
                "message": f"No worker is available to serve request for model: {name}."
                " Consider increasing job queue size.",
            },
        )
    assert [reply.status for reply in replies].count(200) == 3


@pytest.mark.edge
@pytest.mark.better_than_mms
def test_a_client_that_goes_away_leaves_the_queue(
    server: Server, scratch: Path, gate: Gate
) -> None:
    with server.registered("obey") as name:
        path = f"/predictions/{name}"
        first = Background(lambda: server.inference.post_json(path, gate.order))
        gate.wait_until_reached()
        with server.inference.wire() as wire:
            order = json.dumps({"touch": str(scratch / "unwanted")}).encode()
            wire.send(request_bytes("POST", path, order, "Content-Type: application/json"))
            server.wait_until_queued(name, 1)
        # A client that only closed its sending side still waits; which it is takes a moment.
        server.wait_until_queued(name, 0)
        gate.open()
        assert first.result().status == 200
        assert server.inference.post_json(path, {}).status == 200
        assert not (scratch / "unwanted").exists()


@pytest.mark.better_than_mms
def test_a_request_that_kills_its_worker_does_not_fail_its_batch(main_server: Server) -> None:
    with main_server.registered(
        "batch", batch_size=3, max_batch_delay=1000, batch_policy="fixed"
    ) as name:
        orders: list[dict[str, Any]] = [{}, {"exit": 1}, {}]
        replies = in_parallel(
            _call(main_server, name, number, **order) for number, order in enumerate(orders)
        )
    assert [reply.status for reply in replies] == [200, 500, 200]
    assert replies[1].json()["message"] == "Worker died."
