"""Workers that hang: found by response timeout or heartbeat, killed, replaced."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from support.background import Background
from support.client import Reply
from support.processes import is_alive
from support.server import Server, unique_name
from support.waiting import eventually

from .load import Load, Target
from .models import ECHO, write_echo

_HEARTBEAT = {"worker_heartbeat_timeout_s": "0.6"}
_DIED = {500: "Worker died."}


#: `sum` adds without a look at anybody who waits for the lock.
_WITH_LOCK = """
import ctypes, itertools, time
def handle(data, context):
    if data is None:
        return None
    text = data[0]["body"]
    if text == "hold":
        ctypes.PyDLL(None).sleep(60)
    if text == "compute":
        # Time of the processor: others may have had it for most of that of the clock.
        begun = time.process_time()
        sum(itertools.repeat(1, 5_000_000))
        each_s = time.process_time() - begun
        sum(itertools.repeat(1, int(5_000_000 * 2 / each_s)))
    return [text if text != "pid" else str(__import__("os").getpid())]
"""


def _register(server: Server, source: str = ECHO, **options: object) -> str:
    url = write_echo(server, unique_name("hung"), source)
    order = {"url": url, "initial_workers": 2, "synchronous": True, **options}
    reply = server.management.post_json("/models", order)
    assert reply.status == 200, reply
    return url


def _pid(server: Server, name: str) -> int:
    return int(_ask(server, name, "pid").result().text)


def _pids(server: Server, name: str) -> list[int]:
    return [worker["pid"] for worker in server.describe(name)["workers"]]


def _ask(server: Server, name: str, body: str) -> Background[Reply]:
    return Background(
        lambda: server.inference.post(f"/predictions/{name}", body, content_type="text/plain")
    )


def test_a_stopped_worker_is_found_by_its_heartbeat_and_its_requests_are_answered_elsewhere(
    shared_server: Callable[..., Server],
) -> None:
    server = shared_server(_HEARTBEAT)
    # Forked; the next test has one that was not.
    name = _register(server, preload_model="true")
    with Load(server.inference.address.port, [Target(f"/predictions/{name}")]) as load:
        load.wait_for_right(50)
        stopped = _pids(server, name)[0]
        os.kill(stopped, signal.SIGSTOP)
        eventually("it is killed", lambda: not is_alive(stopped))
        load.wait_for_right(50)
    load.count.check(failures=0)
    server.wait_for_log("mms_log.log", "no sign of life for 0.6 seconds")
    assert stopped not in _pids(server, name)


def test_an_idle_worker_that_is_stopped_is_replaced_before_anybody_asks(
    shared_server: Callable[..., Server],
) -> None:
    server = shared_server(_HEARTBEAT)
    name = _register(server)
    before = _pids(server, name)
    for pid in before:
        os.kill(pid, signal.SIGSTOP)
    eventually("they are gone", lambda: not any(map(is_alive, before)))
    assert server.inference.post(f"/predictions/{name}", "a", content_type="text/plain").text == "a"


def test_native_code_that_sleeps_with_the_interpreters_lock_is_found_by_the_heartbeat(
    shared_server: Callable[..., Server],
) -> None:
    server = shared_server(_HEARTBEAT)
    name = _register(server, _WITH_LOCK, initial_workers=1)
    (first,) = _pids(server, name)
    reply = _ask(server, name, "hold").result()
    assert (reply.status, reply.json()["message"]) == (500, "Worker died."), "tried twice, no more"
    eventually("it is gone", lambda: not is_alive(first))
    assert _pid(server, name) != first


def test_native_code_that_computes_with_the_interpreters_lock_is_left_to_the_response_timeout(
    shared_server: Callable[..., Server],
) -> None:
    server = shared_server(_HEARTBEAT)
    name = _register(server, _WITH_LOCK, initial_workers=1)
    (pid,) = _pids(server, name)
    begun = time.monotonic()
    assert _ask(server, name, "compute").result().text == "compute"
    assert time.monotonic() - begun > 1, "shorter than what the heartbeat allows"
    assert _pids(server, name) == [pid]


def test_a_handler_that_never_returns_is_killed_after_the_response_timeout_and_fails_alone(
    shared_server: Callable[..., Server],
) -> None:
    server = shared_server()
    # Far more than the others need on a machine that stalls.
    name = _register(server, response_timeout=4, load_timeout=60)
    target = Target(f"/predictions/{name}", fails_with=_DIED)
    with Load(server.inference.address.port, [target]) as load:
        load.wait_for_right(50)
        begun = time.monotonic()
        reply = _ask(server, name, "deadlock").result()
        assert (reply.status, reply.json()["message"]) == (500, "Worker died.")
        assert time.monotonic() - begun < 20, "not by the server's own response timeout"
        load.wait_for_right(50)
    load.count.check(failures=0)
    eventually("both workers serve", lambda: _ready_count(server, name) == 2)


def _ready_count(server: Server, name: str) -> int:
    return sum(w["status"] == "READY" for w in server.describe(name)["workers"])
