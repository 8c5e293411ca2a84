"""Servers of the tests' own for faults. With `--full` there are as many rounds as a release should have."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.server import Server


@pytest.fixture(scope="session")
def _shared_servers() -> Iterator[dict[str, Server]]:
    servers: dict[str, Server] = {}
    yield servers
    try:
        for server in servers.values():
            server.stop()
    finally:
        for server in servers.values():
            server.kill()
            shutil.rmtree(server.directory.parent, ignore_errors=True)


@pytest.fixture
def shared_server(_shared_servers: dict[str, Server]) -> Callable[..., Server]:
    """A server that other tests use, too: `shared_server(settings)`. Models go under names of the test's own.

    `before(server)` is called before it starts, `environment` are variables of its own.
    """

    def get(
        settings: dict[str, str] | None = None,
        *,
        before: Callable[[Server], None] = lambda _: None,
        environment: dict[str, str] | None = None,
    ) -> Server:
        key = repr((settings, environment))
        server = _shared_servers.get(key)
        if server is None or not server.is_running():
            directory = Path(tempfile.mkdtemp(prefix="mmsf-"))
            server = _shared_servers[key] = Server(
                directory / "0", settings, environment=environment
            )
            before(server)
            server.start()
        return server

    return get


@pytest.fixture
def start_server() -> Iterator[Callable[..., Server]]:
    """Start a server of the test's own: `start_server(settings, **options of Server)`.

    `before(server)` is called before it starts.
    """
    # Short, as a Unix socket's path has room for about a hundred characters.
    directory = Path(tempfile.mkdtemp(prefix="mmsf-"))
    started: list[Server] = []

    def start(settings: dict[str, str] | None = None, **options: object) -> Server:
        before = options.pop("before", None)
        server = Server(directory / str(len(started)), settings, **options)  # type: ignore[arg-type]
        started.append(server)
        if callable(before):
            before(server)
        return server.start()

    yield start
    try:
        for server in started:
            server.stop()
    finally:
        for server in started:
            server.kill()
        shutil.rmtree(directory, ignore_errors=True)
