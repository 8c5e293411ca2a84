"""A server with a state file that is killed comes back with its models; nothing in the file keeps it from starting."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from support.server import Server, ServerDidNotStart
from support.waiting import eventually

from mms.serving.state.state_file import StateFile

from .load import Load, Target
from .models import write_echo


def kill(server: Server) -> None:
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    eventually("its workers have ended", lambda: not server.processes(), 15)


def test_a_killed_server_comes_back_with_its_models(start_server: Callable[..., Server]) -> None:
    server = start_server({"state_file": "state"})
    url = write_echo(server)
    for name in ("a", "b"):
        reply = server.register(
            url, model_name=name, initial_workers=1, synchronous="true", batch_size=3
        )
        assert reply.status == 200, reply
    server.management.put("/models/b?min_worker=2")
    assert server.unregister("a").status == 200
    kill(server)
    server.start()
    assert "Restored model b with 2 to 2 workers (1 of 1)" in server.output()
    assert server.inference.get("/startupz").status in (200, 503)
    eventually("it is ready", lambda: server.inference.get("/readyz").status == 200)
    names = [model["modelName"] for model in server.management.get("/models").json()["models"]]
    assert names == ["b"]
    described = server.describe("b")
    assert (described["minWorkers"], described["batchSize"]) == (2, 3)
    with Load(server.inference.address.port, [Target("/predictions/b", fails_with={})]) as load:
        load.wait_for_right(50)
    load.count.check(failures=0)


def test_what_was_answered_is_there_after_a_kill_at_any_moment(
    start_server: Callable[..., Server], is_full: bool
) -> None:
    server = start_server({"state_file": "state"})
    url = write_echo(server)
    known: set[str] = set()
    for number in range(20 if is_full else 2):
        for name in (f"m{number}", f"n{number}"):
            assert server.register(url, model_name=name).status == 200
            known.add(name)
        assert server.unregister(f"n{number}").status == 200
        known.discard(f"n{number}")
        kill(server)
        server.start()
        listed = server.management.get("/models").json()["models"]
        assert {model["modelName"] for model in listed} == known


def test_a_damaged_file_is_no_reason_not_to_start(start_server: Callable[..., Server]) -> None:
    content = b"\n".join([b"", b"", b"\0" * 4096, b"{", os.urandom(1000)])
    server = start_server(
        {"state_file": "state"},
        before=lambda new: (new.directory / "state").write_bytes(content),
    )
    assert server.register(write_echo(server), model_name="m").status == 200
    assert b'"model":"m"' in (server.directory / "state").read_bytes()


def test_one_file_is_for_one_server(start_server: Callable[..., Server], tmp_path: Path) -> None:
    state = tmp_path / "state"
    StateFile(state).lock()
    with pytest.raises(ServerDidNotStart) as caught:
        start_server({"state_file": str(state)})
    assert caught.value.exit_code == 1
    assert f"state_file={state} is used by another server that runs" in caught.value.output
