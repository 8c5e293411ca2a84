"""`mms microservice` as a user runs it: a class in a folder, and Seldon's clients' calls."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.processes import free_port
from support.waiting import eventually

DEADLINE_S = 60.0
ROOT = Path(__file__).resolve().parents[2]

# The template that PrimeHub's documentation prints for a server of one's own.
PRIMEHUB_MODEL = """
class Model:
    def __init__(self, model_uri=None):
        # initialization
        # 1. configure model path from the model_uri if needed
        self.model_uri = model_uri
        self.model = None

        # 2. initialize the predictor
        # you might want to enable GPU if it is not enabled automatically

        # 3. invoke load method to preload the model
        self.ready = False
        self.load()

    def load(self):
        # load and create a model
        # if model_uri was given, load data and create model instance from it
        if self.ready:
            return

        # build model
        # 1. set to self.model
        # 2. make set.ready = True
        self.ready = True

    def predict(self, X, feature_names = None, meta = None):
        # execute self.model.predict(X)
        print(X, feature_names, meta)
        return "Hello Model"
"""
COUNTER = """
class Counter:
    def __init__(self, start=0):
        self.count = start

    def predict(self, X, names=None):
        self.count += 1
        return [self.count]
"""
SHOWN = """
import os

class Shown:
    def __init__(self, model_uri=None, n=0):
        self.seen = {"model_uri": model_uri, "n": n}

    def predict(self, X, names=None):
        return {**self.seen, "cwd": os.getcwd(), "files": sorted(os.listdir("."))}
"""


class Microservice:
    """A started command. Its output goes to a file, so that it never waits for a reader."""

    def __init__(self, folder: Path, words: list[str], variables: dict[str, str]) -> None:
        self.port = free_port()
        self.log = folder.parent / f"log-{self.port}"
        ports = ["--http-port", str(self.port), "--metrics-port", str(free_port())]
        ports += ["--management-port", "0"]
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(folder.parent),
            **variables,
        }
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mms.cli.mms", "microservice", *words, *ports],
                cwd=folder,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_ready(self) -> Microservice:
        eventually("the microservice answers", self._answers)
        return self

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.output
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/ping"):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    def predict(self, body: Any) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/v1.0/predictions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as response:
            return json.load(response)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)

    def failed(self) -> str:
        """What the command says that ends by itself."""
        assert self.process.wait(DEADLINE_S) == 1, self.output
        return self.output


Start = Callable[..., Microservice]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Microservice] = []

    def new(*words: str, source: str = "", variables: dict[str, str] | None = None) -> Microservice:
        folder = tmp_path / "app"
        folder.mkdir(exist_ok=True)
        if source:
            (folder / f"{words[0].rpartition('.')[0] or words[0]}.py").write_text(source)
        service = Microservice(folder, [*words, "--grpc-workers", "0"], variables or {})
        started.append(service)
        return service

    yield new
    for service in started:
        if service.process.poll() is None:
            service.process.kill()
            service.process.wait()


def test_primehubs_template_is_served_by_the_cmd_of_its_image(start: Start) -> None:
    words = ["--service-type", "MODEL", "--persistence", "0", "--access-log"]
    service = start("Model", *words, source=PRIMEHUB_MODEL).wait_ready()
    assert service.predict({"data": {"ndarray": [[1, 2]]}}) == {
        "meta": {},
        "strData": "Hello Model",
    }
    assert service.stop() == 0
    assert "POST /api/v1.0/predictions" in service.output


def test_primehubs_variables_give_the_constructor_its_model_uri(
    start: Start, tmp_path: Path
) -> None:
    parameters = [
        {"name": "model_uri", "value": "/mnt/models", "type": "STRING"},
        {"name": "n", "value": "3", "type": "INT"},
    ]
    variables = {
        "PREDICTIVE_UNIT_PARAMETERS": json.dumps(parameters),
        "PREDICTIVE_UNIT_SERVICE_PORT": "1",
        "PREDICTIVE_UNIT_ID": "model",
        "PREDICTIVE_UNIT_IMAGE": "infuseai/x:1",
    }
    service = start("Shown", "REST", source=SHOWN, variables=variables).wait_ready()
    answer = service.predict({"data": {"ndarray": [[1]]}})
    assert answer["jsonData"] == {
        "model_uri": "/mnt/models",
        "n": 3,
        "cwd": str(tmp_path / "app"),
        # Nothing is written into the folder of the class.
        "files": sorted({"Shown.py", "__pycache__"} & set(answer["jsonData"]["files"])),
    }
    assert answer["meta"]["requestPath"] == {"model": "infuseai/x:1"}


def test_a_component_is_kept_over_a_restart_where_persistence_is_on(start: Start) -> None:
    words = ["--persistence", "1"]
    first = start("Counter", *words, source=COUNTER).wait_ready()
    assert first.predict({"data": {"ndarray": [[1]]}})["data"]["ndarray"] == [1]
    assert first.predict({"data": {"ndarray": [[1]]}})["data"]["ndarray"] == [2]
    assert first.stop() == 0
    second = start("Counter", *words).wait_ready()
    assert second.predict({"data": {"ndarray": [[1]]}})["data"]["ndarray"] == [3]


def test_a_module_that_is_not_there_ends_the_command_with_its_name(start: Start) -> None:
    output = start("Absent").failed()
    assert "Absent could not be loaded" in output.splitlines()[-1]
    assert "Absent" in output.splitlines()[-1].partition("loaded:")[2]


def test_a_module_that_cannot_be_imported_ends_the_command_with_its_traceback(
    start: Start,
) -> None:
    output = start("Model", source="import no_such_library\n").failed()
    assert "Model.py" in output
    assert "import no_such_library" in output
    assert "No module named 'no_such_library'" in output.splitlines()[-1]
