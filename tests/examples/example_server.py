"""What a README tells its reader to type, done by a test: commands, a server, calls."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from support.processes import run_archiver
from support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = Path(sys.executable).parent
START_LIMIT_S = 60.0
STOP_LIMIT_S = 20.0
ANSWER_LIMIT_S = 60.0


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]  # names in small letters
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=ANSWER_LIMIT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(ANSWER_LIMIT_S)
        self.sock.connect(str(self._path))


class ExampleServer:
    """A server on Unix sockets in a folder of its own."""

    def __init__(self, folder: Path, store: Path, arguments: Sequence[str]) -> None:
        self._folder = folder
        self._inference = folder / "i.sock"
        self._management = folder / "m.sock"
        self._output = folder / "output.txt"
        (folder / "config.properties").write_text(
            f"inference_address=unix:{self._inference}\n"
            f"management_address=unix:{self._management}\n"
            f"model_store={store}\ndefault_workers_per_model=1\n",
            encoding="utf-8",
        )
        command = [str(COMMANDS / "multi-model-server"), "--start", "--foreground"]
        command += ["--mms-config", "config.properties", "--model-store", str(store), *arguments]
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=os.environ | {"TMPDIR": str(folder), "TEMP": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait_until_started(self) -> None:
        eventually(
            "it started or ended",
            lambda: "Model server started." in self.output() or self._process.poll() is not None,
            START_LIMIT_S,
        )
        assert self._process.poll() is None, self.output()

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise

    def output(self) -> str:
        return self._output.read_text(encoding="utf-8", errors="replace")

    def predict(self, model: str, body: bytes, content_type: str, accept: str = "") -> Reply:
        target = f"/predictions/{model}"
        return _call(self._inference, "POST", target, body, content_type, accept)

    def get(self, target: str) -> Reply:
        return _call(self._inference, "GET", target)

    def post(self, target: str, body: bytes) -> Reply:
        """The answer to a JSON body on the inference listener."""
        return _call(self._inference, "POST", target, body, "application/json")

    def metrics(self) -> str:
        return _call(self._management, "GET", "/metrics").body.decode()

    def post_json(self, target: str, document: Any) -> Any:
        """The JSON of an answer on the inference listener, which must be a success."""
        reply = self.post(target, json.dumps(document).encode())
        assert reply.status == 200, reply
        return reply.json()

    def predict_together(self, model: str, calls: Sequence[tuple[bytes, str]]) -> list[Reply]:
        """The replies to (body, content type) pairs that are sent at the same time."""
        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(lambda call: self.predict(model, *call), calls))

    def register(self, query: str) -> Reply:
        return _call(self._management, "POST", f"/models?{query}")

    def describe(self, model: str) -> Any:
        described = _call(self._management, "GET", f"/models/{model}").json()
        return described[0] if isinstance(described, list) else described

    def wait_for_model_metric(self, pattern: str) -> re.Match[str]:
        """The first match in the file of the models' metrics."""
        file = self._folder / "logs" / "model_metrics.log"

        def find() -> re.Match[str] | None:
            return re.search(pattern, file.read_text(encoding="utf-8")) if file.exists() else None

        found = eventually(f"{pattern!r} is in {file.name}", find)
        assert found is not None
        return found


def _call(
    path: Path,
    method: str,
    target: str,
    body: bytes | None = None,
    content_type: str = "",
    accept: str = "",
) -> Reply:
    connection = _UnixConnection(path)
    try:
        sent = {"Content-Type": content_type, "Accept": accept}
        headers = {name: value for name, value in sent.items() if value}
        connection.request(method, target, body, headers)
        answer = connection.getresponse()
        names = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, names, answer.read())
    finally:
        connection.close()


@contextmanager
def serving(store: Path, *arguments: str) -> Iterator[ExampleServer]:
    # Short, for the sockets: their paths have room for about a hundred characters.
    folder = Path(tempfile.mkdtemp(prefix="mms-example-"))
    server = ExampleServer(folder, store, arguments)
    try:
        server.wait_until_started()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def run(*command: str) -> str:
    """Run a command of this environment in the project's folder; returns its output."""
    finished = subprocess.run(
        [str(COMMANDS / command[0]), *command[1:]],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert finished.returncode == 0, finished.stdout
    return finished.stdout


def pack(name: str, model_dir: Path, store: Path, *more: str) -> None:
    store.mkdir(exist_ok=True)
    words = ("--model-name", name, "--model-path", str(model_dir), "--export-path", str(store))
    done = run_archiver([*words, *more], ROOT)
    assert done.returncode == 0, done.stderr
