"""Models written to disk, and real workers that load them."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mms.worker.running import awaiting

from .front import ForkServer, Front, Worker

ModelWriter = Callable[..., str]
WorkerStarter = Callable[..., Worker]


@pytest.fixture(autouse=True)
def close_the_workers_loop() -> Iterator[None]:
    """The one event loop of a worker lives as long as its process, which here is that of the tests."""
    yield
    if awaiting._loop is not None:
        awaiting._loop.close()
        awaiting._loop = None
        asyncio.set_event_loop(None)


@pytest.fixture(scope="session")
def fork_server() -> Iterator[Callable[[], ForkServer]]:
    """Started when it is first asked for."""
    started: list[ForkServer] = []

    def get() -> ForkServer:
        if not started:
            started.append(ForkServer())
        return started[0]

    yield get
    for server in started:
        server.close()


@pytest.fixture
def front(fork_server: Callable[[], ForkServer]) -> Iterator[Front]:
    # Short, because the path of a Unix socket is limited to about 100 bytes.
    folder = Path(tempfile.mkdtemp(prefix="mmsw-"))
    stub = Front(folder, fork_server)
    try:
        yield stub
    finally:
        stub.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def write_model(tmp_path: Path) -> ModelWriter:
    """Writes a model's folder and returns its path."""

    def write(source: str, manifest: Any = "default", **files: str) -> str:
        folder = tmp_path / "model"
        (folder / "MAR-INF").mkdir(parents=True)
        if manifest == "default":
            manifest = {"model": {"modelName": "m", "handler": "service:handle"}}
        if manifest is not None:
            (folder / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest))
        (folder / "service.py").write_text(textwrap.dedent(source))
        for name, content in files.items():
            path = folder / name.replace("__", "/").replace("_py", ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(content))
        return str(folder)

    return write


@pytest.fixture
def start_worker(front: Front, write_model: ModelWriter) -> WorkerStarter:
    """Starts a worker that has loaded this source; further arguments are those of LOAD."""

    def start(source: str, **members: Any) -> Worker:
        worker = front.start()
        folder = write_model(source)
        loaded = worker.load(
            **{
                "model_name": "m",
                "model_version": "1.0",
                "model_dir": folder,
                "handler": "service:handle",
                **members,
            }
        )
        assert loaded.code == 200, loaded
        return worker

    return start
