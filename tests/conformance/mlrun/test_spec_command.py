"""`mms mlrun`: a function's document served from the command line."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.processes import free_port
from support.waiting import eventually

pytestmark = pytest.mark.better_than_mms

CODE = """
from mlrun.serving import V2ModelServer

class Mul(V2ModelServer):
    def load(self):
        pass
    def predict(self, request):
        return [x * self.get_param("multiplier") for x in request["inputs"]]
"""
START_S = 40.0


def document(code: str | None = CODE) -> dict[str, Any]:
    graph = {
        "kind": "router",
        "routes": {"m1": {"class_name": "Mul", "class_args": {"multiplier": 3}}},
    }
    found: dict[str, Any] = {"function_uri": "default/tripler", "graph": graph}
    return found if code is None else {**found, "filename": "classes.py", "code": code}


def command(*arguments: str, folder: Path, **environ: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [str(Path(sys.executable).parent / "mms"), "mlrun", *arguments],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder), "LOG_LOCATION": str(folder / "logs"), **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


@contextmanager
def served(*arguments: str, folder: Path, **environ: str) -> Iterator[int]:
    """Runs the command until the block ends; the port of its inference API."""
    port, management = free_port(), free_port()
    process = command(
        *arguments,
        f"--port={port}",
        f"--management-port={management}",
        folder=folder,
        **environ,
    )
    try:
        eventually("it listens or ends", lambda: is_up(port) or process.poll() is not None, START_S)
        assert process.poll() is None, process.communicate()[0].decode()
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


def is_up(port: int) -> bool:
    try:
        return call(port, "GET", "/ping")[0] == 200
    except OSError:
        return False


def call(port: int, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        sent = None if body is None else json.dumps(body)
        connection.request(method, path, sent, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def triples(port: int) -> bool:
    status, answer = call(port, "POST", "/v2/models/m1/infer", {"inputs": [5]})
    return status == 200 and answer["outputs"] == [15]


def test_a_spec_is_served_with_the_code_that_it_brings(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(json.dumps(document()))
    with served("spec.json", folder=tmp_path) as port:
        assert triples(port)
        assert list(tmp_path.glob("mms-function-*.json")) == []


def test_a_spec_of_the_variable_is_served_with_the_code_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text(CODE)
    text = json.dumps(document(None))
    with served("--source=other.py", folder=tmp_path, SERVING_SPEC_ENV=text) as port:
        assert triples(port)


def test_a_function_that_cannot_be_ends_the_command_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(json.dumps(document("x = 1")))
    arguments = ["spec.json", f"--port={free_port()}", f"--management-port={free_port()}"]
    process = command(*arguments, folder=tmp_path)
    output = process.communicate(timeout=START_S)[0].decode()
    assert process.returncode != 0
    assert "Step m1: class Mul was not found" in output


def test_what_is_no_spec_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text('{"routes": 5}')
    process = command("spec.json", folder=tmp_path)
    output = process.communicate(timeout=START_S)[0].decode()
    assert process.returncode == 1
    assert "spec.json is not a serving spec" in output
