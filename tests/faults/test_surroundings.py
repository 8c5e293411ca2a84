"""What surrounds the server fails: disks, folders, descriptors, ports, clocks. What can go on goes on."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from support.server import Server, ServerDidNotStart
from support.waiting import eventually

from .load import Load, Target
from .models import write_echo

_ECHO = Target("/predictions/m", fails_with={})
#: A clock that is as far from the true one as a file says, for the front and its workers.
_CLOCK = """
import os, time
_true = time.time
def _shown():
    try:
        with open(os.environ["CLOCK_OFFSET_FILE"]) as file:
            return _true() + float(file.read() or 0)
    except (OSError, ValueError):
        return _true()
time.time = _shown
"""


@pytest.fixture
def make_server() -> Iterator[Callable[..., Server]]:
    """A server that is not yet started: `make_server(settings, limits=("-n 64",), **options of Server)`."""
    directory = Path(tempfile.mkdtemp(prefix="mmsf-"))
    made: list[Server] = []

    def make(
        settings: dict[str, str] | None = None, limits: Sequence[str] = (), **options: object
    ) -> Server:
        server = Server(directory / str(len(made)), settings, **options)  # type: ignore[arg-type]
        if limits:
            shell = "".join(f"ulimit {limit} && " for limit in limits) + 'exec "$@"'
            server.arguments = ["/bin/sh", "-c", shell, "sh", *server.arguments]
        made.append(server)
        return server

    yield make
    try:
        for server in made:
            server.stop()
    finally:
        for server in made:
            server.kill()
        shutil.rmtree(directory, ignore_errors=True)


def register(server: Server, **options: object) -> None:
    url = write_echo(server)
    reply = server.register(
        url, **{"model_name": "m", "initial_workers": 1, "synchronous": "true", **options}
    )
    assert reply.status == 200, reply


def predict(server: Server, text: str = "hello", model: str = "m") -> str:
    reply = server.inference.post(f"/predictions/{model}", text, content_type="text/plain")
    assert reply.status == 200, reply
    return reply.text


def start_failure(server: Server) -> str:
    """What a server says that cannot start, and that it says so by its exit code."""
    with pytest.raises(ServerDidNotStart) as caught:
        server.start()
    assert not list(server.temporary.glob("*"))
    assert caught.value.exit_code == 1
    assert "Traceback" not in caught.value.output
    return caught.value.output


def write_archive(server: Server, name: str, size_bytes: int) -> str:
    """An archive with a large file, in the store. Returns its url."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "service.py").write_text(
            "def handle(data, context):\n    return data and ['OK'] * len(data)\n"
        )
        (folder / "weights").write_bytes(bytes(size_bytes))
        with tarfile.open(server.store / f"{name}.tar.gz", "w:gz") as archive:
            for file in folder.iterdir():
                archive.add(file, file.name)
    return f"{name}.tar.gz"


def cached(server: Server) -> list[str]:
    """What is unpacked below the temp folder."""
    return [path.name for path in server.temporary.glob(".mms-*/models/*")]


# Disks


def test_a_full_disk_fails_a_registration_alone(make_server: Callable[..., Server]) -> None:
    # A file may have 2048 blocks of 512 bytes; the error is the kernel's own.
    server = make_server(limits=("-f 2048",)).start()
    register(server)
    large, small = write_archive(server, "large", 4 << 20), write_archive(server, "small", 1000)
    before = cached(server)
    reply = server.register(large, model_name="large", handler="service:handle")
    assert reply.status == 500
    assert "Failed to save model: large.tar.gz" in reply.text
    server.wait_for_log("mms_log.log", "Failed to save model large.tar.gz: .*File too large")
    assert cached(server) == before
    reply = server.register(
        small,
        model_name="small",
        handler="service:handle",
        initial_workers=1,
        synchronous="true",
    )
    assert reply.status == 200, reply
    assert (predict(server), predict(server, model="small")) == ("hello", "OK")


def test_logs_on_a_full_disk_are_told_of_and_serving_goes_on(
    make_server: Callable[..., Server],
) -> None:
    server = make_server()
    server.logs.mkdir(parents=True)
    for name in ("access_log", "mms_log", "model_log", "mms_metrics", "model_metrics"):
        (server.logs / f"{name}.log").symlink_to("/dev/full")
    server.start()
    register(server)
    with Load(server.inference.address.port, [_ECHO]) as load:
        load.wait_for_right(200)
    load.count.check(failures=0)
    eventually("both are told of", lambda: server.output().count("cannot write the log file") > 1)
    for name in ("access_log", "mms_log"):
        told = f"cannot write the log file {server.logs / name}.log: No space left on device"
        assert server.output().count(told) == 1


def test_logs_without_a_place_are_told_of_and_serving_goes_on(
    make_server: Callable[..., Server],
) -> None:
    location = "/dev/null/logs"
    variables = {"LOG_LOCATION": location, "METRICS_LOCATION": location}
    server = make_server(environment=variables).start()
    register(server)
    with Load(server.inference.address.port, [_ECHO]) as load:
        load.wait_for_right(100)
    load.count.check(failures=0)
    assert server.output().count(f"cannot write the log file {location}/mms_log.log: ") == 1


# Folders


def test_a_temp_folder_that_cannot_be_used_ends_the_start(
    make_server: Callable[..., Server],
) -> None:
    server = make_server(environment={"TEMP": "/proc"})
    assert "Temp directory /proc cannot be used: " in start_failure(server)


def test_a_temp_folder_that_was_removed_is_made_again(make_server: Callable[..., Server]) -> None:
    server = make_server().start()
    register(server)
    small = write_archive(server, "small", 1000)
    with Load(server.inference.address.port, [_ECHO]) as load:
        load.wait_for_right(20)
        for folder in server.temporary.glob(".mms-*"):
            shutil.rmtree(folder)
        load.wait_for_right(20)
        # New workers find the server, for new models and for those that there are.
        for preload in ("false", "true"):
            reply = server.register(
                small,
                model_name=f"small-{preload}",
                handler="service:handle",
                initial_workers=1,
                synchronous="true",
                preload_model=preload,
            )
            assert reply.status == 200, reply
            assert predict(server, model=f"small-{preload}") == "OK"
        reply = server.management.put("/models/m?min_worker=2&synchronous=true")
        assert reply.status == 200, reply
        [first, _] = server.describe("m")["workers"]
        psutil.Process(first["pid"]).kill()
        eventually(
            "the killed worker is back",
            lambda: all(w["state"] == "READY" for w in server.describe("m")["workers"]),
        )
        load.wait_for_right(20)
    load.count.check(failures=0)
    server.stop()
    assert not list(server.temporary.glob(".mms-*"))


@pytest.mark.parametrize("has_place", [False, True])
def test_a_temp_folder_that_was_away_for_a_while_serves_new_workers_when_it_is_back(
    make_server: Callable[..., Server], has_place: bool
) -> None:
    """As one does that something was mounted over; `has_place`: there was room for another one meanwhile."""
    server = make_server().start()
    register(server)
    [folder] = server.temporary.glob(".mms-*")
    with Load(server.inference.address.port, [_ECHO]) as load:
        load.wait_for_right(20)
        folder.rename(server.temporary / "away")
        if not has_place:
            folder.write_text("in the way")
        reply = server.management.put("/models/m?min_worker=2&synchronous=true")
        assert reply.status == (200 if has_place else 500), reply
        assert server.management.put("/models/m?min_worker=1&max_worker=1").status == 202
        if has_place:
            shutil.rmtree(folder)
        else:
            folder.unlink()
        (server.temporary / "away").rename(folder)
        reply = server.management.put("/models/m?min_worker=3&max_worker=3&synchronous=true")
        assert reply.status == 200, reply
        load.wait_for_right(20)
    load.count.check(failures=0)
    server.stop()
    assert not list(server.temporary.glob(".mms-*"))


def test_a_model_store_that_goes_away_costs_registrations_alone(
    make_server: Callable[..., Server],
) -> None:
    server = make_server().start()
    register(server)
    small = write_archive(server, "small", 1000)
    away = server.store.with_name("away")
    with Load(server.inference.address.port, [_ECHO]) as load:
        load.wait_for_right(20)
        server.store.rename(away)
        reply = server.register(small, model_name="small", handler="service:handle")
        assert reply.status == 404
        assert "Model not found in model store: small.tar.gz" in reply.text
        server.store.write_text("no folder")
        reply = server.register(small, model_name="small", handler="service:handle")
        assert reply.status == 404, reply
        server.store.unlink()
        away.rename(server.store)
        reply = server.register(small, model_name="small", handler="service:handle")
        assert reply.status == 200, reply
        load.wait_for_right(20)
    load.count.check(failures=0)


def test_what_is_no_archive_is_named_and_never_waited_for(
    shared_server: Callable[..., Server],
) -> None:
    server = shared_server()
    (server.store / "loop.mar").symlink_to("loop.mar")
    (server.store / "device.mar").symlink_to("/dev/zero")
    os.mkfifo(server.store / "pipe.mar")
    for name in ("loop.mar", "device.mar", "pipe.mar"):
        reply = server.register(name, model_name="x", handler="service:handle")
        assert 400 <= reply.status < 500, reply
        assert name in reply.text


# Descriptors


def test_without_descriptors_connections_wait_and_the_others_are_served(
    make_server: Callable[..., Server],
) -> None:
    server = make_server(limits=("-n 128",)).start()
    register(server)
    port = server.inference.address.port
    with contextlib.ExitStack() as stack, Load(port, [_ECHO], connections=2) as load:
        load.wait_for_right(20)
        for _ in range(200):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 5))
        load.wait_for_right(50)
        spent_s = sum(psutil.Process(server.pid).cpu_times()[:2])
        begun = time.monotonic()
        load.wait_for_right(100)
        # It does not spend its time with connections that it cannot take.
        busy = (sum(psutil.Process(server.pid).cpu_times()[:2]) - spent_s) / (
            time.monotonic() - begun
        )
        assert busy < 0.9
        stack.close()
        eventually("new connections are served", lambda: serves(server))
        load.wait_for_right(20)
    load.count.check(failures=0)
    assert server.is_running()
    assert "Traceback" not in server.output()
    output = server.output()
    # Nobody has set how many there may be.
    assert "connections are accepted instead of" not in output
    assert 1 <= output.count("Refusing connections: there are 96") < 5


def test_who_sets_more_connections_than_there_can_be_is_told(
    make_server: Callable[..., Server],
) -> None:
    server = make_server({"max_connections": "2000"}, limits=("-n 128",)).start()
    told = "At most 96 connections are accepted instead of max_connections=2000"
    assert server.output().count(told) == 1


def serves(server: Server) -> bool:
    try:
        return server.inference.get("/ping", timeout_s=1).status == 200
    except OSError:
        return False


# Ports


def test_a_port_that_is_taken_ends_the_start_and_harms_nobody(
    make_server: Callable[..., Server], shared_server: Callable[..., Server]
) -> None:
    first = shared_server()
    second = make_server(inference=first.inference.address)
    output = start_failure(second)
    assert f"Failed to bind to address: http://127.0.0.1:{first.inference.address.port}" in output
    assert first.inference.get("/ping").status == 200


# Clocks


def test_a_clock_that_jumps_harms_no_request(
    make_server: Callable[..., Server], tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(_CLOCK)
    offset = tmp_path / "offset"
    offset.write_text("0")
    server = make_server(
        {"keep_alive_timeout_s": "20", "request_timeout_s": "20"},
        environment={"PYTHONPATH": str(tmp_path), "CLOCK_OFFSET_FILE": str(offset)},
    ).start()
    register(server, initial_workers=2)
    before = {worker["pid"] for worker in server.describe("m")["workers"]}
    with Load(server.inference.address.port, [_ECHO], connections=4) as load:
        load.wait_for_right(50)
        for jump_s in (86400 * 3, -86400 * 3):
            offset.write_text(str(jump_s))
            load.wait_for_right(200)
    load.count.check(failures=0)
    assert load.count.longest_gap_s < 10, "the timeouts of the settings are 20 s"
    assert {worker["pid"] for worker in server.describe("m")["workers"]} == before
    server.stop()
    lines = sum(
        file.read_bytes().count(b"/predictions/m") if file.suffix == ".log" else 0
        for file in server.logs.glob("access_log*")
    )
    # What was written before the day changed is compressed.
    assert lines or list(server.logs.glob("access_log.*.gz"))
