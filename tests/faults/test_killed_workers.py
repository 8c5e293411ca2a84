"""Workers that are killed under load: one answer for each request, its own; poison fails alone."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable

import pytest
from support.server import Server, unique_name
from support.waiting import eventually

from .load import Load, Target
from .models import write_echo

_DIED = {500: "Worker died."}
#: Between right answers at most: the start of a worker on a machine that has much else to do.
_GAP_S = 15.0


def _register(server: Server, **options: object) -> str:
    name = write_echo(server, unique_name("killed"))
    order = {"url": name, "initial_workers": 2, "synchronous": True, **options}
    reply = server.management.post_json("/models", order)
    assert reply.status == 200, reply
    return name


def _kill_one(server: Server, name: str) -> int:
    """SIGKILL to the worker that has served longest. Returns its process."""

    def serving() -> list[int]:
        workers = server.describe(name)["workers"]
        return [w["pid"] for w in workers if w["status"] == "READY" and w["pid"]]

    pid = eventually("a worker serves", serving)[0]
    os.kill(pid, signal.SIGKILL)
    return int(pid)


@pytest.mark.parametrize(
    ("workers", "batch_size", "preload"),
    [(1, 1, "false"), (2, 4, "true")],
)
def test_every_request_has_its_own_answer_however_often_workers_are_killed(
    shared_server: Callable[..., Server],
    is_full: bool,
    workers: int,
    batch_size: int,
    preload: str,
) -> None:
    server = shared_server()
    name = _register(
        server,
        initial_workers=workers,
        batch_size=batch_size,
        max_batch_delay=5,
        preload_model=preload,
    )
    # What is killed with the second worker, too, has had its two tries.
    target = Target(f"/predictions/{name}", encode=lambda token: f"pause {token}".encode())
    target.is_right = lambda status, body, token: status == 200 and body == target.encode(token)
    target.fails_with = _DIED
    rounds = 40 if is_full else 4
    with Load(server.inference.address.port, [target]) as load:
        load.wait_for_right(20)
        for _ in range(rounds):
            _kill_one(server, name)
            load.wait_for_right(20)
    load.count.check(failures=0)
    assert load.count.longest_gap_s < _GAP_S, load.count
    if workers == 1:
        # It has done its work each time, so that its pauses do not grow.
        server.wait_for_log("mms_log.log", rf"Retry worker: W-{name}-0 in 0 seconds")
        assert not re.search(rf"Retry worker: W-{name}-0 in [1-9]", server.log("mms_log.log"))


def test_a_poison_item_fails_alone_and_its_neighbours_succeed(
    shared_server: Callable[..., Server],
) -> None:
    server = shared_server()
    name = _register(server, batch_size=8, max_batch_delay=20)
    path = f"/predictions/{name}"
    good = Target(path)
    with Load(server.inference.address.port, [good], connections=12) as load:
        load.wait_for_right(50)
        for _ in range(3):
            reply = server.inference.post(path, "poison", content_type="text/plain")
            assert (reply.status, reply.json()["message"]) == (500, "Worker died.")
            load.wait_for_right(20)
    load.count.check(failures=0)
    assert load.count.longest_gap_s < _GAP_S, load.count
    server.wait_for_log("mms_log.log", r"Request [0-9a-f-]{36} was running in two workers")


def test_a_worker_that_always_dies_backs_off_and_the_server_says_that_it_is_not_ready(
    shared_server: Callable[..., Server],
) -> None:
    server = shared_server()
    name = _register(server, initial_workers=1)

    def has_backed_off() -> bool:
        ready = server.management.get(f"/models/{name}/ready")
        if ready.status == 503:
            return "next start in 1 seconds" in ready.text
        # It has come up again: it is ended before it has done any work.
        pid = server.describe(name)["workers"][0]["pid"]
        if pid:
            with contextlib.suppress(ProcessLookupError):  # its last end is just being noticed
                os.kill(pid, signal.SIGKILL)
        return False

    # Its first end is the fault of whoever ended it; from the second on it is a crash loop.
    eventually("it backs off", has_backed_off)
    server.wait_for_log("mms_log.log", rf"Retry worker: W-{name}-0 in 0 seconds")
    server.wait_for_log("mms_log.log", rf"Retry worker: W-{name}-0 in 1 seconds")
    begun = time.monotonic()
    reply = server.inference.post(f"/predictions/{name}", "back", content_type="text/plain")
    assert reply.text == "back"
    assert time.monotonic() - begun < 20
