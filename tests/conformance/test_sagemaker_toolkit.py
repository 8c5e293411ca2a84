"""Containers that are made with SageMaker's inference toolkit, from their entry point to their end.

SAGEMAKER_TOOLKIT_PYTHON names a Python of this one's version with the package sagemaker-inference. Without it a
stand-in of the toolkit alone runs, which starts, asks and stops the server in the same way.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.client import Address, Client
from support.processes import base_environment, free_port, kill_tagged, tagged_processes
from support.waiting import eventually

# The original's ping plugin is not in its wheel; that it serves these containers is what its users know.
pytestmark = pytest.mark.better_than_mms

HERE = Path(__file__).parent / "sagemaker_toolkit"
PYTHON = os.environ.get("SAGEMAKER_TOOLKIT_PYTHON", "")
HEALTHY = b'{\n\t"Status": "Healthy"\n}\n'


class Container:
    """A toolkit's process with the server that it started. `models` is where SageMaker puts what it downloads."""

    def __init__(self, directory: Path, toolkit: str, *, is_multi: bool) -> None:
        port = free_port()
        self.client = Client(Address(port=port))
        self.models = directory / "ml" / "models"
        self.tag = uuid.uuid4().hex
        self._directory = directory
        packages = HERE
        if toolkit == "real":
            packages = Path(
                subprocess.check_output(
                    [PYTHON, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
                    text=True,
                ).strip()
            )
        self._environment = base_environment(directory, self.tag) | {
            "PYTHONPATH": str(packages),
            "SAGEMAKER_BASE_DIR": str(directory / "ml"),
            "SAGEMAKER_BIND_TO_PORT": str(port),
        }
        if is_multi:
            self._environment["SAGEMAKER_MULTI_MODEL"] = "true"
        self._command = [
            PYTHON if toolkit == "real" else sys.executable,
            str(HERE / "start.py"),
            str(directory / "sagemaker-mms.properties"),
        ]
        self.process: subprocess.Popen[bytes] | None = None

    def add_model(self, folder: Path, factor: int) -> str:
        shutil.copytree(HERE / "model", folder)
        (folder / "factor.txt").write_text(str(factor))
        return str(folder)

    def start(self) -> Container:
        with open(self._directory / "output.txt", "wb") as output:
            self.process = subprocess.Popen(
                self._command,
                cwd=self._directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return self

    def wait_until_healthy(self) -> None:
        def is_healthy() -> bool:
            assert self.process is not None and self.process.poll() is None, self.output()
            try:
                reply = self.client.get("/ping")
            except OSError:
                return False
            return reply.status == 200

        eventually("the container is healthy", is_healthy, 40)

    def output(self) -> str:
        return (self._directory / "output.txt").read_text()

    def invoke(self, path: str, body: bytes) -> tuple[int, bytes]:
        reply = self.client.post(path, body, content_type="application/json")
        return reply.status, reply.body

    def stop(self) -> None:
        """As SageMaker does: a signal to the entry point, which hands it on and ends when the server has."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            assert self.process.wait(30) == 0, self.output()
            eventually("nothing is left", lambda: not tagged_processes(self.tag), 15)
        finally:
            kill_tagged(self.tag)
            self.process.wait()


@pytest.fixture(
    params=[
        "stand-in",
        pytest.param(
            "real",
            marks=pytest.mark.skipif(
                not PYTHON,
                reason="SAGEMAKER_TOOLKIT_PYTHON names no Python with sagemaker-inference",
            ),
        ),
    ]
)
def toolkit(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make_container(scratch: Path, toolkit: str) -> Iterator[Callable[..., Container]]:
    made: list[Container] = []

    def make(*, is_multi: bool) -> Container:
        made.append(Container(scratch, toolkit, is_multi=is_multi))
        return made[-1]

    yield make
    for container in made:
        container.stop()


def test_a_multi_model_container_is_healthy_and_serves_models_that_come_and_go(
    make_container: Callable[..., Container],
) -> None:
    container = make_container(is_multi=True).start()
    container.wait_until_healthy()
    client = container.client
    assert client.get("/ping").body == HEALTHY
    assert client.get("/models").json()["models"] == []
    for name, factor in (("double", 2), ("triple", 3)):
        url = container.add_model(container.models / name / "model", factor)
        reply = client.post_json("/models", {"model_name": name, "url": url})
        assert (reply.status, reply.status_text) == (200, "Workers scaled")
        assert client.post_json("/models", {"model_name": name, "url": url}).status == 409
    assert container.invoke("/models/double/invoke", b"[1, 2]") == (200, b"[2.0, 4.0]")
    assert container.invoke("/models/triple/invoke", b"[1, 2]") == (200, b"[3.0, 6.0]")
    assert client.get("/ping").body == HEALTHY
    assert client.delete("/models/double").status == 200
    assert container.invoke("/models/double/invoke", b"[1]")[0] == 404
    assert container.invoke("/models/triple/invoke", b"[1]") == (200, b"[3.0]")


def test_a_container_of_one_model_answers_invocations(
    make_container: Callable[..., Container],
) -> None:
    container = make_container(is_multi=False)
    container.add_model(container.models.parent / "model", 4)
    container.start().wait_until_healthy()
    eventually(
        "it answers", lambda: container.invoke("/invocations", b"[2]") == (200, b"[8.0]"), 40
    )
