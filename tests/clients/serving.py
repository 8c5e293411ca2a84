"""The component `Doubler` as clients find it: under `mms microservice`, and as a registered model."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.client import Address, Client
from support.processes import base_environment, free_port, kill_tagged
from support.server import Server
from support.waiting import eventually

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
COMPONENT = FOLDER / "component"
REGISTERED_NAME = "doubler"
START_LIMIT_S = 60.0


@dataclass(frozen=True)
class Place:
    """A served component: one port for REST, one for gRPC; `metrics` is where Prometheus would look."""

    name: str
    rest_port: int
    grpc_port: int
    metrics: Client

    def endpoint(self, transport: str) -> str:
        return f"127.0.0.1:{self.rest_port if transport == 'rest' else self.grpc_port}"


@contextmanager
def microservice(directory: Path, lane: str, *words: str) -> Iterator[Place]:
    """`mms microservice Doubler` in a copy of its folder, with `words` as more of its arguments."""
    folder = directory / "app"
    shutil.copytree(COMPONENT, folder, ignore=shutil.ignore_patterns("__pycache__"))
    rest, grpc, metrics = (free_port() for _ in range(3))
    tag = f"clients-{rest}"
    command = [
        *(sys.executable, "-m", "mms.cli.mms", "microservice", "Doubler"),
        *("--service-type", "MODEL", "--persistence", "0", "--set", f"lane={lane}"),
        *("--http-port", str(rest), "--grpc-port", str(grpc), "--metrics-port", str(metrics)),
        *("--management-port", str(free_port()), *words),
    ]
    output = directory / "output.txt"
    with open(output, "wb") as file:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=base_environment(directory, tag) | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    client = Client(Address(port=rest))

    def is_up() -> bool:
        assert process.poll() is None, output.read_text()
        try:
            return client.get("/ready").status == 200
        except OSError:
            return False

    try:
        eventually("the microservice is up", is_up, START_LIMIT_S)
        yield Place("Doubler", rest, grpc, Client(Address(port=metrics)))
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, output.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        kill_tagged(tag)


@contextmanager
def registered(directory: Path, lane: str, **parameters: object) -> Iterator[Place]:
    """A server that got the component by `POST /models`, and no other."""
    grpc = free_port()
    server = Server(directory, {"lane": lane, "grpc_address": f"grpc://127.0.0.1:{grpc}"})
    shutil.copytree(
        COMPONENT, server.store / "doubling", ignore=shutil.ignore_patterns("__pycache__")
    )
    server.start()
    try:
        with server.registered(
            "doubling",
            model_name=REGISTERED_NAME,
            handler="Doubler",
            interface="seldon",
            **parameters,
        ):
            yield Place(REGISTERED_NAME, server.inference.address.port, grpc, server.management)
    finally:
        server.stop()
