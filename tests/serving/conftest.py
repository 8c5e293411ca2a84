"""A model host with real workers, without HTTP."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from support.replies import AwaitedReply, make_request
from support.settings import settings_of

from mms.core import Request
from mms.launch import ProcessLauncher
from mms.repository import Repository
from mms.repository.sources import Sources
from mms.serving import ModelHost, Outcome, RegisterOptions


class Events:
    """Keeps what workers said."""

    def __init__(self) -> None:
        self.output: list[tuple[str, str]] = []
        self.metrics: list[str] = []

    def worker_output(self, model: str, worker: str, stream: str, text: str) -> None:
        self.output.append((stream, text))

    def load_traceback(self, model: str, worker: str, traceback: str) -> None:
        self.output += [("stderr", line) for line in traceback.splitlines()]

    def worker_metrics(self, worker: str, lines: list[str]) -> None:
        self.metrics += lines

    def worker_series(self, model: str, pid: int, series: list[dict[str, Any]]) -> None:
        return

    def worker_loaded(self, model: str, worker: str, load_s: float) -> None:
        return


class Bench:
    """A host with a store of its own."""

    def __init__(self, folder: Path, *, gpu_count: int = 0, **settings: Any) -> None:
        self.folder = folder
        self._gpu_count = gpu_count
        self.events = Events()
        self.settings = settings_of(
            **{
                "default_response_timeout_seconds": 60,
                "initialize_errors": "fail",
                "worker_start_timeout_s": 30.0,
                "unregister_model_timeout": 30,
                **settings,
            }
        )

    def make_launcher(self) -> ProcessLauncher:
        return ProcessLauncher(self.folder)

    async def start(self) -> None:
        self.store = self.folder / "store"
        self.store.mkdir()
        self.launcher = self.make_launcher()
        await self.launcher.start()
        self.repository = Repository(
            self.store,
            self.folder / "models",
            sources=Sources.of(self.settings.allowed_urls, self.settings.allowed_private_addresses),
        )
        self.host = ModelHost(
            self.settings,
            self.repository,
            self.launcher,
            self.events,
            gpu_count=self._gpu_count,
        )

    async def stop(self) -> None:
        await self.host.drain(5)
        await self.host.close()
        await self.launcher.close()
        await self.repository.close()

    def write(self, name: str, code: str, version: str | None = None) -> str:
        """A model folder in the store; `code` is its service.py. Returns its url."""
        url = f"{name}-{version}" if version else name
        folder = self.store / url
        (folder / "MAR-INF").mkdir(parents=True)
        (folder / "service.py").write_text(code)
        model = {"modelName": name, "handler": "service:handle"}
        if version:
            model["modelVersion"] = version
        manifest = {"runtime": "python", "model": model}
        (folder / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest))
        return url

    async def register(self, name: str, code: str, **options: Any) -> Outcome:
        options = {"initial_workers": 1, **options}
        version = options.pop("version", None)
        url = self.write(name, code, version)
        return await self.host.register(RegisterOptions.of_members({"url": url, **options}))

    def submit(self, name: str, body: bytes = b"", **more: Any) -> tuple[Request, AwaitedReply]:
        reply = AwaitedReply()
        request = make_request(name, reply, body, **more)
        self.host.submit(request)
        return request, reply

    async def predict(self, name: str, body: bytes = b"", **more: Any) -> tuple[int, bytes]:
        _, reply = self.submit(name, body, **more)
        return await asyncio.wait_for(reply.done, 30)

    def described(self, name: str, version: str | None = None) -> dict[str, Any]:
        served = self.host.registry.get(name, version)
        return served.describe(self.host.registry.is_default(served))

    def pids(self, name: str) -> list[int]:
        return [worker["pid"] for worker in self.described(name)["workers"]]


@pytest.fixture(scope="session")
def bench_class() -> type[Bench]:
    """For hosts that outlive a test."""
    return Bench


@pytest.fixture
async def make_bench() -> AsyncIterator[Callable[..., Any]]:
    folders: list[Path] = []
    benches: list[Bench] = []

    async def make(**settings: Any) -> Bench:
        # A short path: sockets take no long ones.
        folder = Path(tempfile.mkdtemp(prefix="mmst-"))
        folders.append(folder)
        bench = Bench(folder, **settings)
        await bench.start()
        benches.append(bench)
        return bench

    yield make
    for bench in benches:
        await bench.stop()
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def bench(make_bench: Callable[..., Any]) -> Bench:
    return await make_bench()  # type: ignore[no-any-return]
