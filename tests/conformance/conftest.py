"""Options, markers and servers of the conformance suite.

`--lane on|off|both` chooses the HTTP path that tests of inference routes run over. With
CONFORMANCE_SERVER (and CONFORMANCE_ARCHIVER) set to the commands of AWS Multi Model Server, the
suite checks itself against the original, without the tests marked `better_than_mms`.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .background import Gate
from .processes import is_original
from .server import Server, ServerPool

_LANES = {"on": ["on"], "off": ["off"], "both": ["on", "off"]}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--lane",
        choices=sorted(_LANES),
        default="both",
        help="conformance suite: the setting `lane` of the servers that predictions are sent to",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "better_than_mms: a rule where this server does better than AWS Multi Model Server",
    )


def _lanes(config: pytest.Config) -> list[str]:
    if is_original():
        return ["none"]
    return _LANES[config.getoption("--lane", default="both")]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "lane" in metafunc.fixturenames:
        metafunc.parametrize("lane", [f"lane={lane}" for lane in _lanes(metafunc.config)])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not is_original():
        return
    here = Path(__file__).parent
    mine = [
        item
        for item in items
        if here in item.path.parents and item.get_closest_marker("better_than_mms")
    ]
    config.hook.pytest_deselected(items=mine)
    items[:] = [item for item in items if item not in mine]


@pytest.fixture(scope="session")
def servers() -> Iterator[ServerPool]:
    directory = Path(tempfile.mkdtemp(prefix="mmsc-"))
    pool = ServerPool(directory)
    # A run that is ended from outside must not leave servers behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield pool
        pool.stop_all()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def main_server(servers: ServerPool, request: pytest.FixtureRequest) -> Server:
    """For tests where the lane cannot matter."""
    return servers.get("main", _lanes(request.config)[0])


@pytest.fixture
def combined_server(servers: ServerPool, request: pytest.FixtureRequest) -> Server:
    return servers.get("combined", _lanes(request.config)[0])


@pytest.fixture
def secure_server(servers: ServerPool, request: pytest.FixtureRequest) -> Server:
    return servers.get("secure", _lanes(request.config)[0])


@pytest.fixture
def tight_server(servers: ServerPool, request: pytest.FixtureRequest) -> Server:
    return servers.get("tight", _lanes(request.config)[0])


def _lane_name(lane: str) -> str:
    return lane.removeprefix("lane=")


@pytest.fixture
def server(servers: ServerPool, lane: str) -> Server:
    """Two listeners; `noop` is loaded at start."""
    return servers.get("main", _lane_name(lane))


@pytest.fixture
def combined(servers: ServerPool, lane: str) -> Server:
    """One listener; `noop` and `named` at start; input undecoded; CORS."""
    return servers.get("combined", _lane_name(lane))


@pytest.fixture
def secure(servers: ServerPool, lane: str) -> Server:
    """Inference over TLS, management over a Unix socket."""
    return servers.get("secure", _lane_name(lane))


@pytest.fixture
def tight(servers: ServerPool, lane: str) -> Server:
    """Small limits: queue 2, request 2000 bytes, no time to unregister."""
    return servers.get("tight", _lane_name(lane))


@pytest.fixture
def hasty(servers: ServerPool, lane: str) -> Server:
    """A second for a head, a body and between requests; eight connections."""
    return servers.get("hasty", _lane_name(lane))


@pytest.fixture
def scratch(servers: ServerPool) -> Path:
    """A folder with a short path for one test."""
    directory = servers.new_directory()
    directory.mkdir(parents=True)
    return directory


@pytest.fixture
def gate(scratch: Path) -> Iterator[Gate]:
    """Holds a handler; opened at the end of the test at the latest."""
    gate = Gate(scratch)
    yield gate
    gate.open()


@pytest.fixture
def start_server(servers: ServerPool) -> Iterator[Callable[..., Server]]:
    """Start a server of the test's own: `start_server(settings, **options of Server)`."""
    started: list[Server] = []

    def start(settings: dict[str, str] | None = None, **options: object) -> Server:
        directory = options.pop("directory", None) or servers.new_directory()
        assert isinstance(directory, Path)
        server = Server(directory, settings, **options)  # type: ignore[arg-type]
        started.append(server)
        return server.start()

    yield start
    for server in started:
        server.stop()
