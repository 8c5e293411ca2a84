"""The end of a server: what it has accepted is answered, what comes later is refused, nothing stays behind."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.background import Background, Gate
from support.processes import run_command, server_command
from support.server import Server, manifest
from support.waiting import eventually

from .load import Load, Target
from .models import write_echo

_SLOW = Target(
    "/predictions/m",
    encode=lambda token: f"pause {token}".encode(),
    is_right=lambda status, body, token: status == 200 and body == f"pause {token}".encode(),
    fails_with={503: "The server is shutting down."},
)


def start_with_model(
    start_server: Callable[..., Server], workers: int = 2, **settings: str
) -> Server:
    server = start_server({"job_queue_size": "1000", **settings})
    url = write_echo(server)
    reply = server.register(url, model_name="m", initial_workers=workers, synchronous="true")
    assert reply.status == 200, reply
    return server


def left_behind(server: Server) -> list[Path]:
    """Sockets, folders and files of a server that has ended, besides its logs."""
    return list(server.temporary.rglob("*")) + list(server.directory.glob("*.sock"))


def check_clean_end(server: Server, *, is_quiet: bool = True) -> None:
    assert server.wait() == 0
    eventually("no process is left", lambda: not server.processes(), 15)
    assert left_behind(server) == []
    if is_quiet:
        assert "Traceback" not in server.output()


@pytest.mark.parametrize(
    ("way", "lane"), [("SIGTERM", "on"), ("SIGTERM", "off"), ("SIGHUP", "on"), ("--stop", "on")]
)
def test_requests_that_were_accepted_are_answered_and_none_is_lost(
    start_server: Callable[..., Server], way: str, lane: str
) -> None:
    server = start_with_model(start_server, lane=lane)
    with Load(server.inference.address.port, [_SLOW], connections=16) as load:
        load.wait_for_right(100)
        if way == "--stop":
            folder = server.directory / "stop"
            done = run_command([server_command(), "--stop"], folder, server.environment)
            assert (done.returncode, done.stdout) == (0, "Model server stopped.\n")
            (folder / "tmp").rmdir() if (folder / "tmp").exists() else None
        else:
            server.signal_main(signal.Signals[way])
        check_clean_end(server)
        # Only those that were refused from then on.
        refused = load.count.refused
        eventually("new connections are refused", lambda: load.count.refused > refused)
    load.count.check()
    print(load.count)


@pytest.mark.parametrize("lane", ["on", "off"])
def test_requests_on_connections_that_nobody_has_taken_yet_are_answered(
    start_server: Callable[..., Server], lane: str
) -> None:
    server = start_server({"lane": lane})
    # The kernel opens connections, and takes what is sent on them.
    server.signal_main(signal.SIGSTOP)
    asked = [
        (client.address.connect(), f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for client, path in [(server.inference, "/ping"), (server.management, "/models")]
        for _ in range(40)
    ]
    for connection, request in asked:
        connection.sendall(request.encode())
    server.signal_main(signal.SIGTERM)
    server.signal_main(signal.SIGCONT)
    for connection, _ in asked:
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        connection.close()
    check_clean_end(server)


def test_a_request_that_takes_long_is_answered_and_its_connection_closed(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = start_server({"load_models": "obey", "default_workers_per_model": "1"})
    gate = Gate(tmp_path)
    order = {**gate.order, "value": "finished"}
    running = Background(lambda: server.inference.post_json("/predictions/obey", order))
    gate.wait_until_reached()
    waiting = Background(lambda: server.inference.post_json("/predictions/obey", {"value": "w"}))
    server.wait_until_queued("obey", 1)
    with server.inference.wire() as idle, server.inference.wire() as half:
        half.socket.sendall(b"POST /predictions/obey HTTP/1.1\r\nHost: x\r\n")
        server.signal_main(signal.SIGTERM)
        assert idle.socket.recv(1) == b""
        # What comes in on a connection that had begun a request is told that it is too late; once all are answered,
        # nobody is there any more to say so.
        half.socket.sendall(b"Content-Length: 2\r\nContent-Type: application/json\r\n\r\n{}")
        assert half.socket.recv(100).startswith(b"HTTP/1.1 503 ")
        gate.open()
        assert running.result().text == "finished"
        assert waiting.result().text == "w"
        assert running.result().header("connection") == "close"
    check_clean_end(server)


def test_readiness_turns_false_before_the_last_answer(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = start_server({"load_models": "obey", "default_workers_per_model": "1"})
    gate = Gate(tmp_path)
    running = Background(
        lambda: server.inference.post_json("/predictions/obey", {**gate.order, "value": "done"})
    )
    gate.wait_until_reached()
    with server.inference.wire() as half:
        half.socket.sendall(b"GET /readyz HTTP/1.1\r\n")
        # Until the server has read it.
        assert server.inference.get("/readyz").status == 200
        server.signal_main(signal.SIGTERM)

        def refuses() -> bool:
            try:
                return server.inference.get("/ping").status == 0
            except OSError:
                return True

        eventually("new connections are refused", refuses)
        half.socket.sendall(b"Host: x\r\n\r\n")
        answer = half.socket.recv(1000)
        assert answer.startswith(b"HTTP/1.1 503 "), answer
        assert b"shutting down" in answer
        gate.open()
        assert running.result().text == "done"
    check_clean_end(server)


def test_what_does_not_end_in_time_is_told_so(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = start_server(
        {"load_models": "obey", "default_workers_per_model": "1", "drain_timeout_s": "1"}
    )
    gate = Gate(tmp_path)
    running = Background(lambda: server.inference.post_json("/predictions/obey", gate.order))
    gate.wait_until_reached()
    waiting = Background(lambda: server.inference.post_json("/predictions/obey", {"value": "w"}))
    server.wait_until_queued("obey", 1)
    begun = time.monotonic()
    server.signal_main(signal.SIGTERM)
    check_clean_end(server)
    assert 0.9 < time.monotonic() - begun < 20
    assert running.result().status == 503, running.result()
    assert waiting.result().status == 503, waiting.result()


def test_a_second_signal_ends_the_server_at_once(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = start_server({"load_models": "obey", "default_workers_per_model": "1"})
    gate = Gate(tmp_path)
    running = Background(lambda: server.inference.post_json("/predictions/obey", gate.order))
    gate.wait_until_reached()
    with server.inference.wire() as idle:
        server.signal_main(signal.SIGTERM)
        # The first one is being followed.
        assert idle.socket.recv(1) == b""
    begun = time.monotonic()
    server.signal_main(signal.SIGINT)
    check_clean_end(server)
    assert time.monotonic() - begun < 15
    assert running.result().status == 503, running.result()


def test_a_signal_while_models_load_ends_the_start(start_server: Callable[..., Server]) -> None:
    """A start that fetches its models for long must be stoppable, too."""
    slow = "import time\ntime.sleep(60)\ndef handle(data, context):\n    return ['OK']\n"
    server = start_server(
        {"load_models": "slow", "default_workers_per_model": "2"},
        before=lambda new: new.write_model("slow", slow, manifest("slow")),
    )
    begun = time.monotonic()
    server.signal_main(signal.SIGTERM)
    check_clean_end(server)
    assert time.monotonic() - begun < 15


def test_workers_that_load_and_wait_to_be_started_again_end_with_the_server(
    start_server: Callable[..., Server],
) -> None:
    server = start_server()
    broken = "def handle(data, context):\n    raise RuntimeError('no weights')\n"
    slow = "import time\ntime.sleep(60)\n" + broken
    for name, source in (("broken", broken), ("slow", slow)):
        server.write_model(name, source)
        reply = server.register(
            name,
            model_name=name,
            handler="service:handle",
            initial_workers=2,
            synchronous="false",
        )
        assert reply.status == 202, reply
    eventually(
        "a worker waits to be started again",
        lambda: any(w["state"] == "BACKOFF" for w in server.describe("broken")["workers"]),
    )
    begun = time.monotonic()
    server.signal_main(signal.SIGTERM)
    check_clean_end(server, is_quiet=False)
    assert time.monotonic() - begun < 15
