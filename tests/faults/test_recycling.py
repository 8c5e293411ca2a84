"""Handlers that leak: their workers are replaced at a limit, and no request fails for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.processes import is_alive
from support.server import Server, unique_name
from support.waiting import eventually

from .load import Load, Target
from .models import write_echo

_MEGABYTE = 2**20
_MEMORY_LIMIT = {"worker_memory_limit": str(96 * _MEGABYTE)}
#: Every request leaves a mebibyte behind.
_LEAKY = """
import os
_left = []
_at_load = bytearray(b"x" * {at_load})
def handle(data, context):
    if data is None:
        return None
    for row in data:
        _left.append(os.urandom(1 << 20))
    return [row["body"] for row in data]
"""


def _register(server: Server, name: str, **options: object) -> None:
    order = {"url": name, "initial_workers": 2, "synchronous": True, **options}
    reply = server.management.post_json("/models", order)
    assert reply.status == 200, reply


def _workers(server: Server, name: str) -> list[dict[str, object]]:
    workers: list[dict[str, object]] = server.describe(name)["workers"]
    return workers


@pytest.mark.parametrize(("preload", "batch_size"), [("false", 4), ("true", 1)])
def test_workers_are_replaced_after_a_number_of_requests_and_none_fails(
    shared_server: Callable[..., Server], preload: str, batch_size: int
) -> None:
    server = shared_server({"max_requests_per_worker": "50"})
    name = write_echo(server, unique_name("echo"))
    _register(server, name, preload_model=preload, batch_size=batch_size, max_batch_delay=2)
    first = {int(str(worker["pid"])) for worker in _workers(server, name)}
    with Load(server.inference.address.port, [Target(f"/predictions/{name}")]) as load:
        load.wait_for_right(150)
        eventually("the first ones have left", lambda: not any(map(is_alive, first)), 20)
        load.wait_for_right(150)
    load.count.check(failures=0)
    eventually(
        "two are left", lambda: [w["status"] for w in _workers(server, name)] == ["READY"] * 2
    )
    server.wait_for_log(
        "mms_log.log", r"Worker W-\S+ of model \S+ has answered \d+ requests; W-\S+ replaces it"
    )


def test_a_worker_whose_memory_grows_is_replaced_and_no_request_fails(
    shared_server: Callable[..., Server],
) -> None:
    server = shared_server(_MEMORY_LIMIT)
    name = write_echo(server, unique_name("leaky"), _LEAKY.replace("{at_load}", "1"))
    _register(server, name, initial_workers=1)
    (first,) = [int(str(worker["pid"])) for worker in _workers(server, name)]
    target = Target(f"/predictions/{name}")
    with Load(server.inference.address.port, [target], connections=2, pause_s=0.02) as load:
        load.wait_for_right(20)
        eventually("the first one has left", lambda: not is_alive(first), 20)
        load.wait_for_right(5)
    load.count.check(failures=0)
    server.wait_for_log("mms_log.log", r"holds \d+ bytes; W-\S+ replaces it")


def test_a_model_that_is_larger_than_the_limit_is_served_and_told_of(
    shared_server: Callable[..., Server],
) -> None:
    server = shared_server(_MEMORY_LIMIT)
    source = _LEAKY.replace("{at_load}", str(100 * _MEGABYTE))
    name = write_echo(server, unique_name("large"), source)
    _register(server, name, initial_workers=1)
    (first,) = [worker["pid"] for worker in _workers(server, name)]
    server.wait_for_log(
        "mms_log.log", "just after loading its model, more than worker_memory_limit"
    )
    assert server.inference.post(f"/predictions/{name}", "a", content_type="text/plain").text == "a"
    assert [worker["pid"] for worker in _workers(server, name)] == [first]


def test_a_successor_that_cannot_load_leaves_the_old_worker_in_its_place(
    start_server: Callable[..., Server],
) -> None:
    server = start_server({"max_requests_per_worker": "5"})
    name = write_echo(server)
    _register(server, name, initial_workers=1)
    (server.store / name / "service.py").write_text("1 / 0\n")
    with Load(server.inference.address.port, [Target(f"/predictions/{name}")]) as load:
        server.wait_for_log("mms_log.log", "could not load model")
        load.wait_for_right(50)
    load.count.check(failures=0)
    assert server.inference.get("/ping").json()["status"] == "Healthy"
