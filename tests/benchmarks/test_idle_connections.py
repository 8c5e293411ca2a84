from __future__ import annotations

import resource
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import cli
from benchmarks.deployment import PeerRequest
from benchmarks.http_client import wait_until
from benchmarks.idle_connections import idle_connections, missing_descriptors

COUNT = 100


class _AnswersOnce(socketserver.StreamRequestHandler):
    """Answers one request, and keeps the connection until the server is told to let all go."""

    def handle(self) -> None:
        while self.rfile.readline().strip():
            pass
        self.rfile.read(4)
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")
        assert isinstance(self.server, _Server)
        self.server.is_over.wait()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = COUNT

    def __init__(self) -> None:
        self.is_over = threading.Event()
        super().__init__(("127.0.0.1", 0), _AnswersOnce)


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.is_over.set()
        server.shutdown()
        thread.join()


def test_an_idle_connection_that_the_server_closes_is_counted_as_lost(server: _Server) -> None:
    request = PeerRequest(("/predict",), b"body", {"Content-Type": "text/plain"})
    with idle_connections(server.server_address[1], request, COUNT) as idle:
        assert idle.lost() == 0
        server.is_over.set()
        assert wait_until(lambda: idle.lost() == COUNT, timeout_s=30)


def test_more_connections_than_a_process_may_have_are_refused_with_both_numbers() -> None:
    assert missing_descriptors(0) is None
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY:
        reason = missing_descriptors(hard)
        assert reason is not None
        assert f"{hard:,}" in reason


def test_a_cell_that_the_limits_do_not_allow_is_refused_and_the_others_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []
    limits = {"idle-b1": "a process may open 10 files here"}
    monkeypatch.setattr(cli, "RUNS", tmp_path)
    monkeypatch.setattr(cli, "BENCH", tmp_path)
    monkeypatch.setattr(cli, "missing_generator", lambda: None)
    monkeypatch.setattr(cli, "generator_version", lambda: "none")
    monkeypatch.setattr(cli, "describe_machine", dict)
    monkeypatch.setattr(
        cli, "missing_descriptors", lambda count: limits["idle-b1"] if count > 9000 else None
    )
    monkeypatch.setattr(cli, "_install", lambda peers, *arguments: peers)
    monkeypatch.setattr(
        cli, "_measure", lambda peers, cells, *arguments: measured.extend(c.name for c in cells)
    )
    done = CliRunner().invoke(cli.main, ["--cells", "idle-b1,b1-w2", "--run", "r"])
    assert done.exit_code == 0, done.output
    assert measured == ["b1-w2"]
    assert limits["idle-b1"] in done.output
    assert limits["idle-b1"] in (tmp_path / "r" / "benchmarks.md").read_text(encoding="utf-8")
    alone = CliRunner().invoke(cli.main, ["--cells", "idle-b1", "--run", "s"])
    assert alone.exit_code == 1
    assert limits["idle-b1"] in alone.output
