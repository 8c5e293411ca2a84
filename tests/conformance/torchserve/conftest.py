"""A server that `torchserve` started, shared by all tests here, and archives as `torch-model-archiver` makes them."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from support.client import Address, Client
from support.processes import free_port
from support.server import Server

from conformance.archives import write_archive

COMMAND = (sys.executable, "-m", "mms.interfaces.torchserve.cli.torchserve")
HANDLER = """
class Handler:
    def initialize(self, context):
        self.is_told = context.model_name

    def handle(self, data, context):
        return [bytes(row.get("data") or row.get("body") or b"").decode() or "nothing" for row in data]
"""
BROKEN = """
class Handler:
    def initialize(self, context):
        raise RuntimeError('no weights')

    def handle(self, data, context):
        return data
"""


def archive(store: Path, name: str, source: str = HANDLER, version: str | None = "1.0") -> None:
    """Write an archive as `torch-model-archiver` does, with its manifest."""
    model = {"modelName": name, "handler": "handler.py"}
    if version is not None:
        model["modelVersion"] = version
    manifest = {
        "createdOn": "30/11/2026 22:19:41",
        "runtime": "python",
        "model": model,
        "archiverVersion": "0.12.0",
    }
    file = store / f"{name if version in (None, '1.0') else f'{name}-{version}'}.mar"
    write_archive(file, {"handler.py": source, "MAR-INF/MANIFEST.json": json.dumps(manifest)})


class TorchServe(Server):
    """A server by TorchServe's command. `metrics`: a client of its third listener."""

    def __init__(
        self,
        directory: Path,
        *flags: str,
        settings: Mapping[str, str | None] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        metrics = Address(port=free_port())
        own = {
            "metrics_address": metrics.setting(),
            "grpc_inference_port": str(free_port()),
            "grpc_management_port": str(free_port()),
        }
        super().__init__(directory, {**own, **(settings or {})}, environment=environment)
        self.metrics = Client(metrics)
        config = str(self.config_file)
        self.arguments = [*COMMAND, "--start", "--foreground", "--ts-config", config, *flags]


@pytest.fixture(scope="session")
def shared_torchserve() -> Iterator[TorchServe]:
    directory = Path(tempfile.mkdtemp(prefix="mmst-"))
    server = TorchServe(directory, "--ncs", "--disable-token-auth", "--enable-model-api")
    for name in ("echo", "other", "third"):
        archive(server.store, name)
    archive(server.store, "echo", version="2.0")
    archive(server.store, "plain", version=None)
    archive(server.store, "broken", BROKEN)
    try:
        yield server.start()
        server.stop()
    finally:
        server.kill()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def torchserve(shared_torchserve: TorchServe) -> Iterator[TorchServe]:
    """It has no models, and none are left."""
    yield shared_torchserve
    management = shared_torchserve.management
    for model in management.get("/models").json()["models"]:
        name = model["modelName"]
        versions = management.get(f"/models/{name}/all").json()
        for version in reversed([each["modelVersion"] for each in versions]):
            management.delete(f"/models/{name}/{version}")
