"""The server's own process is killed: its workers end with it, and the next start removes what it left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.background import Background
from support.processes import is_alive
from support.server import Server
from support.waiting import eventually

from .load import Load, Target
from .models import write_echo

#: What a worker is in when the front is killed, and that it holds the interpreter's lock or starts processes there.
_LONG_CALLS = """
import ctypes, pathlib, subprocess, time
def handle(data, context):
    if data is None:
        return None
    text = data[0]["body"]
    subprocess.Popen(["sleep", "600"])
    pathlib.Path("{reached}").touch()
    if text == "spin":
        while True:
            pass
    if text == "hold":
        ctypes.PyDLL(None).sleep(600)
    return [text]
"""


def _start_with_long_call(
    start_server: Callable[..., Server], call: str, preload: str = "false"
) -> Server:
    server = start_server()
    reached = server.directory / "reached"
    name = write_echo(server, source=_LONG_CALLS.replace("{reached}", str(reached)))
    reply = server.register(name, initial_workers=1, synchronous="true", preload_model=preload)
    assert reply.status == 200, reply

    def ask() -> None:
        try:
            server.inference.post(f"/predictions/{name}", call, content_type="text/plain")
        except OSError:
            return  # its server is killed
        raise AssertionError("a call that never ends was answered")

    Background(ask)
    eventually("the call runs", reached.exists)
    return server


@pytest.mark.parametrize(("call", "preload"), [("hold", "false"), ("spin", "true")])
def test_workers_end_with_the_front_in_the_middle_of_a_call_with_all_that_they_started(
    start_server: Callable[..., Server], call: str, preload: str
) -> None:
    server = _start_with_long_call(start_server, call, preload)
    assert len(server.processes()) >= 3
    server.signal_main(signal.SIGKILL)
    server.wait()
    eventually("no process is left", lambda: not server.processes(), timeout_s=15)


def test_a_stopped_worker_ends_with_the_front(start_server: Callable[..., Server]) -> None:
    server = start_server()
    name = write_echo(server)
    assert server.register(name, initial_workers=2, synchronous="true").status == 200
    for worker in server.describe(name)["workers"]:
        os.kill(worker["pid"], signal.SIGSTOP)
    server.signal_main(signal.SIGKILL)
    server.wait()
    eventually("no process is left", lambda: not server.processes(), timeout_s=15)


def test_the_next_start_under_load_serves_again_and_removes_the_folder_that_was_left(
    start_server: Callable[..., Server],
) -> None:
    server = start_server(
        {"load_models": "echo-orders", "default_workers_per_model": "1"}, before=write_echo
    )
    target = Target("/predictions/echo-orders")
    with Load(server.inference.address.port, [target]) as load:
        load.wait_for_right(20)
        left = _folders(server)
        assert left
        server.signal_main(signal.SIGKILL)
        server.wait()
        server.start()
        load.wait_for_right(20)
    # What the killed process had is lost: a connection has one request at a time, and may have come back once while the
    # killed process still listened.
    assert load.count.lost <= 16, load.count
    assert not load.count.wrong, load.count
    assert not set(left) & set(_folders(server))
    assert len(_folders(server)) == 1


def _folders(server: Server) -> list[Path]:
    return list(server.temporary.glob(".mms-*"))


def test_the_next_start_kills_a_worker_that_outlived_its_front(
    start_server: Callable[..., Server],
) -> None:
    server = start_server({"load_models": "noop", "default_workers_per_model": "1"})
    (folder,) = _folders(server)
    # One that lost its lifeline: it looks as the worker of that server did, and nothing ends it.
    orphan = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import time; time.sleep(600)",
            "mms.worker",
            "--connect",
            f"unix:{folder}/front.sock",
        ],
        start_new_session=True,
    )
    other = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import time; time.sleep(600)",
            "mms.worker",
            "--connect",
            f"unix:{folder}x/front.sock",
        ],
        start_new_session=True,
    )
    try:
        server.signal_main(signal.SIGKILL)
        server.wait()
        server.start()
        assert orphan.wait(15) == -signal.SIGKILL
        assert is_alive(other.pid), "a worker of another server"
    finally:
        for process in (orphan, other):
            process.kill()
            process.wait()
    server.wait_for_log("mms_log.log", f"Killed process {orphan.pid}")
