"""Options, markers and servers of the conformance suite.

`--lane edge|on|off|both` chooses the HTTP path that tests of inference routes run over: by default both for the tests
that are marked `edge`, whose rules each path keeps by code of its own, and the lane alone for the rest.
`--fork-server off` has the workers of all servers started one by one, and `--ray HOST:PORT` has nodes of a cluster run
them, which no handler can tell. With
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
from support.background import Gate
from support.commands import Commands
from support.processes import is_original, kill_tagged
from support.server import SETTINGS_OF_RUN, Server, ServerPool

#: By the option: the settings `lane` of the servers that tests run against, of those marked `edge` and of the rest.
_LANES = {
    "edge": (["on", "off"], ["on"]),
    "on": (["on"], ["on"]),
    "off": (["off"], ["off"]),
    "both": (["on", "off"], ["on", "off"]),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--lane",
        choices=sorted(_LANES),
        default="edge",
        help="conformance suite: the setting `lane` of the servers that predictions are sent to; "
        "edge (the default): both for tests marked `edge`, on for the rest",
    )
    parser.addoption(
        "--fork-server",
        choices=("on", "off"),
        default="on",
        help="conformance suite: the setting `fork_server` of all servers",
    )
    parser.addoption(
        "--fronts",
        default="",
        help="conformance suite: the setting `fronts` of all servers",
    )
    parser.addoption(
        "--ray",
        metavar="HOST:PORT",
        default="",
        help="conformance suite: the Ray cluster that runs the workers of all servers, which dial in by TLS",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "better_than_mms: a rule where this server does better than AWS Multi Model Server",
    )
    config.addinivalue_line(
        "markers",
        "edge: a rule that the lane and aiohttp's side each keep by code of their own: heads, bodies, framing, "
        "connections, forms of requests and answers, access, limits, timeouts, what is logged and counted",
    )


def _lanes(config: pytest.Config, *, is_edge: bool) -> list[str]:
    if is_original():
        return ["none"]
    of_edge, of_rest = _LANES[config.getoption("--lane", default="edge")]
    return of_edge if is_edge else of_rest


def _usual_lane(config: pytest.Config) -> str:
    return _lanes(config, is_edge=False)[0]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "lane" in metafunc.fixturenames:
        is_edge = metafunc.definition.get_closest_marker("edge") is not None
        lanes = _lanes(metafunc.config, is_edge=is_edge)
        metafunc.parametrize("lane", [f"lane={lane}" for lane in lanes])


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
def servers(request: pytest.FixtureRequest) -> Iterator[ServerPool]:
    directory = Path(tempfile.mkdtemp(prefix="mmsc-"))
    if request.config.getoption("--fork-server", default="on") == "off":
        SETTINGS_OF_RUN["fork_server"] = "off"
    if fronts := request.config.getoption("--fronts", default=""):
        SETTINGS_OF_RUN["fronts"] = fronts
    if address := request.config.getoption("--ray", default=""):
        SETTINGS_OF_RUN.update(launcher="ray", ray_address=address, worker_address="127.0.0.1:0")
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
    return servers.get("main", _usual_lane(request.config))


@pytest.fixture
def combined_server(servers: ServerPool, request: pytest.FixtureRequest) -> Server:
    return servers.get("combined", _usual_lane(request.config))


@pytest.fixture
def secure_server(servers: ServerPool, request: pytest.FixtureRequest) -> Server:
    return servers.get("secure", _usual_lane(request.config))


@pytest.fixture
def tight_server(servers: ServerPool, request: pytest.FixtureRequest) -> Server:
    return servers.get("tight", _usual_lane(request.config))


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


@pytest.fixture
def commands(scratch: Path) -> Iterator[Commands]:
    commands = Commands(scratch)
    yield commands
    kill_tagged(commands.tag)
