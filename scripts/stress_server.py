"""A server of its own for the commands that try to break one: started by command, watched, stopped."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import psutil

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "tests" / "conformance" / "models"
_START_LIMIT_S = 90.0
_STOP_LIMIT_S = 60.0
_CALL_LIMIT_S = 120.0
_POLL_S = 0.05
_LINES_SHOWN = 30


class ServerFailed(Exception):
    """Its text says what went wrong."""


class Sample(NamedTuple):
    """What the processes of a server hold: of the front, and of all others together."""

    front_bytes: int
    worker_bytes: int
    front_descriptors: int
    front_threads: int
    processes: int


def free_port() -> int:
    # Below 32767, as MMS wants ports to be, and below those that kernels hand out.
    for port in range(20000 + os.getpid() % 5000, 32767):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerFailed("no port below 32767 is free")


class StressServer:
    """A server with models of the conformance suite in its store, and settings of its caller."""

    def __init__(self, settings: Mapping[str, object]) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="mms-stress-"))
        self.store = self.directory / "store"
        shutil.copytree(MODELS, self.store, ignore=shutil.ignore_patterns("__pycache__"))
        self.inference_port = free_port()
        with socket.socket() as held:
            held.bind(("127.0.0.1", self.inference_port))
            self.management_port = free_port()
        self._output = self.directory / "output.txt"
        lines = {
            "inference_address": f"http://127.0.0.1:{self.inference_port}",
            "management_address": f"http://127.0.0.1:{self.management_port}",
            "model_store": self.store,
            **settings,
        }
        config = self.directory / "config.properties"
        config.write_text("".join(f"{k}={v}\n" for k, v in lines.items()), encoding="ascii")
        temporary = self.directory / "tmp"
        temporary.mkdir()
        command = Path(sys.executable).parent / "multi-model-server"
        environment = dict(os.environ) | {
            "TMPDIR": str(temporary),
            "TEMP": str(temporary),
            "LOG_LOCATION": str(self.directory / "logs"),
            "METRICS_LOCATION": str(self.directory / "logs"),
        }
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [str(command), "--start", "--foreground", "--mms-config", str(config)],
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.front = psutil.Process(self._process.pid)

    def wait_until_started(self) -> None:
        """Wait until the server has started. Raises ServerFailed."""
        deadline = time.monotonic() + _START_LIMIT_S
        while "Model server started." not in self.output():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ServerFailed(f"The server did not start:\n{self._tail()}")
            time.sleep(_POLL_S)

    def register(self, url: str, **parameters: object) -> None:
        """Register a model, with one worker that has loaded it unless said otherwise. Raises ServerFailed."""
        options = {"url": url, "initial_workers": 1, "synchronous": "true"} | parameters
        status, answer = self.manage("POST", "/models?" + urllib.parse.urlencode(options))
        if status != 200:
            raise ServerFailed(f"{url} could not be registered: {status} {answer}\n{self._tail()}")

    def manage(self, method: str, path: str) -> tuple[int, Any]:
        """Return (status, JSON) of a call of the management API."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.management_port, timeout=_CALL_LIMIT_S
        )
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        finally:
            connection.close()

    # What becomes of it

    def is_running(self) -> bool:
        return self._process.poll() is None

    def workers(self) -> list[psutil.Process]:
        """Return all processes below the front."""
        return self.front.children(recursive=True)

    def sample(self) -> Sample:
        worker_bytes = count = 0
        for worker in self.workers():
            try:
                worker_bytes += worker.memory_info().rss
                count += 1
            except psutil.NoSuchProcess:
                continue
        front = self.front
        with front.oneshot():
            return Sample(
                front.memory_info().rss, worker_bytes, front.num_fds(), front.num_threads(), count
            )

    def output(self) -> str:
        return self._output.read_text(encoding="utf-8", errors="replace")

    def log(self, name: str) -> str:
        file = self.directory / "logs" / name
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

    def _tail(self) -> str:
        return "\n".join(self.output().splitlines()[-_LINES_SHOWN:])

    # Its end

    def stop(self) -> int:
        """Ask it to stop; returns its exit code. Raises ServerFailed for one that does not, or leaves processes."""
        processes = [self.front, *self.workers()] if self.is_running() else []
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            raise ServerFailed(f"The server does not stop:\n{self._tail()}") from None
        _, left = psutil.wait_procs(processes, timeout=5)
        if left:
            raise ServerFailed(f"Processes outlived the server: {left}")
        return code

    def remove(self) -> None:
        """Kill what is left and delete all files."""
        if self.is_running():
            processes = [*self.workers(), self.front]
            for process in processes:
                try:
                    process.kill()
                except psutil.NoSuchProcess:
                    continue
            self._process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)
