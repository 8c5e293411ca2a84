"""A cluster of Ray and a server of it, for tests with `--full`."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.server import Server

_SUPPORT = Path(__file__).resolve().parents[2]
_SLEEPS = """
import time

def handle(data, context):
    time.sleep(0.02 * (data is not None))
    return ["x"] * len(data or [])
"""
_MANIFEST = {
    "model": {"modelName": "m", "handler": "service:handle"},
    "runtime": "python",
    "engine": {"engineName": "MXNet"},
}


@contextlib.contextmanager
def started_cluster(
    request: pytest.FixtureRequest, script: str, *arguments: str
) -> Iterator[dict[str, Any]]:
    """Run a script beside this file that has a cluster. Give what it says, and its process."""
    if not request.config.getoption("--full"):
        pytest.skip("--full alone starts a cluster of Ray, which takes 10 seconds and 1 GB")
    if importlib.util.find_spec("ray") is None:
        pytest.skip('Ray is not installed: pip install "marserve[ray]"')
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name(script)), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # A token that somebody has made for another cluster is not this one's.
        env={**os.environ, "PYTHONPATH": str(_SUPPORT), "RAY_AUTH_MODE": "disabled"},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        # Ray says things of its own before.
        line = next(line for line in process.stdout if line.startswith(b'{"address"'))
        yield json.loads(line) | {"process": process}
    finally:
        # It ends its cluster then.
        process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        process.stdout.close()
        process.kill()
        process.wait()


@contextlib.contextmanager
def started_server(cluster: dict[str, Any], folder: Path, **more: str) -> Iterator[Server]:
    """Run a server of the cluster that has an archive named `sleeps`. It is stopped in order in the end."""
    settings = {
        "launcher": "ray",
        "ray_address": cluster["address"],
        "ray_strategy": "spread",
        "worker_address": "127.0.0.1:0",
        **more,
    }
    server = Server(folder / "server", settings).start()
    archive = server.store / "sleeps"
    (archive / "MAR-INF").mkdir(parents=True)
    (archive / "service.py").write_text(_SLEEPS)
    (archive / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(_MANIFEST))
    try:
        yield server
        server.stop()
    finally:
        server.kill()


def register(server: Server, workers: int, more: str = "") -> None:
    reply = server.management.post(
        f"/models?url=sleeps&model_name=m&initial_workers={workers}&synchronous=true&request_timeout=5{more}"
    )
    assert reply.status == 200, reply.body


def nodes_of(server: Server) -> Counter[str]:
    workers = server.management.get("/models/m").json()["workers"]
    return Counter(w["node"] for w in workers if w["state"] in ("READY", "BUSY"))
