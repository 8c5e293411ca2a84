"""Where the component is served, and which client calls it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from .drivers import ORACLE, Driver, needs_seldon
from .serving import Place, microservice, registered

_Serve = Callable[[Path, str], AbstractContextManager[Place]]
_SERVING: dict[str, _Serve] = {"microservice": microservice, "registered": registered}


@pytest.fixture(scope="session")
def short_folder() -> Iterator[Path]:
    # A Unix socket's path has room for about a hundred characters.
    directory = Path(tempfile.mkdtemp(prefix="mmscl-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def places(short_folder: Path) -> Iterator[Callable[[str], Place]]:
    """The component served in a way and with a lane, as "registered-off"; started when first asked for."""
    with ExitStack() as stack:
        known: dict[str, Place] = {}

        def get(name: str) -> Place:
            if name not in known:
                way, _, lane = name.partition("-")
                directory = short_folder / f"{way[0]}{lane}"
                directory.mkdir()
                known[name] = stack.enter_context(_SERVING[way](directory, lane))
            return known[name]

        yield get


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each way of serving and each lane once; with `--full` each way with each lane.

    Gateways: those of Ambassador and Istio are called alike. Seldon's own package is there where it is named.
    """
    is_full = metafunc.config.getoption("--full")
    if "driver" in metafunc.fixturenames:
        real = [pytest.param("seldon-core", marks=needs_seldon)] if is_full or ORACLE else []
        metafunc.parametrize("driver", [*real, "ours"], indirect=True, scope="session")
        if "gateway" in metafunc.fixturenames:
            names = ["istio", "seldon", *(["ambassador"] if is_full else [])]
            metafunc.parametrize("gateway", names, indirect=True)
    if "place" in metafunc.fixturenames:
        names = ["microservice-on", "registered-off"]
        if is_full:
            names += ["microservice-off", "registered-on"]
        metafunc.parametrize("place", names, indirect=True)


@pytest.fixture
def place(request: pytest.FixtureRequest, places: Callable[[str], Place]) -> Place:
    return places(request.param)


@pytest.fixture(params=["microservice-on", "registered-off"])
def program_place(request: pytest.FixtureRequest, places: Callable[[str], Place]) -> Place:
    """For programs, which take a second to start."""
    return places(request.param)


@pytest.fixture(scope="session")
def driver(request: pytest.FixtureRequest, short_folder: Path) -> Iterator[Driver]:
    """The client of the real package, and that of ours."""
    started = Driver(request.param == "seldon-core", short_folder / f"driver-{request.param}.txt")
    yield started
    started.stop()


@pytest.fixture(params=["rest", "grpc"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)
