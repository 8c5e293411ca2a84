"""The wheel: built from a copy of the tree, it holds everything and serves outside the checkout."""

from __future__ import annotations

import configparser
import email
import http.client
import importlib
import json
import os
import shutil
import socket
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.waiting import eventually

import mms

ROOT = Path(__file__).resolve().parents[2]
BUILT_FROM = ("archiver", "mms", "pyproject.toml", "README.md", "LICENSE")
START_LIMIT_S = 60.0
#: Of MLRun's contract; its package is not installed where the tests run.
MLRUN_CLASS = """
import mlrun
from mlrun.serving import V2ModelServer

class Doubler(V2ModelServer):
    def load(self):
        self.model = mlrun.__file__

    def predict(self, request):
        return [2 * x for x in request["inputs"]]

    def op_package(self, event):
        return self.model
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("source")
    for name in BUILT_FROM:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, source / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, source / name)
    target = tmp_path_factory.mktemp("wheel")
    # Without isolation: with it, pip would ask the package index for setuptools.
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-build-isolation", "--wheel-dir", str(target), str(source)]
    finished = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert finished.returncode == 0, finished.stdout
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's packages and what pip leaves of AWS's; the dependencies are this environment's."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    (folder / "multi_model_server-1.1.11.dist-info").mkdir()
    return folder


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    missing = []
    for package in ("archiver", "mms"):
        for file in (ROOT / package).rglob("*"):
            relative = file.relative_to(ROOT)
            if file.is_dir() or "__pycache__" in relative.parts:
                continue
            name = relative.as_posix().removeprefix("archiver/compat/")
            if name not in names:
                missing.append(name)
    assert missing == []


def test_the_wheel_says_whose_it_is_and_where_to_read_on(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = email.message_from_bytes(archive.read(name))
    assert (metadata["Name"], metadata["Version"]) == ("marserve", mms.__version__)
    assert metadata["Author"] == "the marserve developers"
    urls = dict(line.split(", ", 1) for line in metadata.get_all("Project-URL"))
    assert {"Documentation", "Source", "Issues", "Changes"} <= urls.keys()


@pytest.fixture(scope="module")
def commands(wheel: Path) -> dict[str, str]:
    """Command -> `module:function`."""
    with zipfile.ZipFile(wheel) as archive:
        (entry_points,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        parser = configparser.ConfigParser()
        parser.read_string(archive.read(entry_points).decode())
    return dict(parser["console_scripts"])


def test_the_wheel_installs_every_command_of_the_original(commands: dict[str, str]) -> None:
    original = {"multi-model-server", "mxnet-model-server", "multi-model-export", "model-archiver"}
    assert original <= commands.keys()


def test_every_command_leads_to_a_function(commands: dict[str, str]) -> None:
    for command, target in commands.items():
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function)), command


@pytest.fixture(scope="module")
def served(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The inference socket of a server that runs from the wheel, with the model `hello` in it."""
    tmp_path = tmp_path_factory.mktemp("served")
    model = tmp_path / "store" / "hello"
    (model / "MAR-INF").mkdir(parents=True)
    model.joinpath("service.py").write_text(
        "import mms\n\n\ndef handle(data, context):\n    return [mms.__file__ for _ in data or []]\n",
        encoding="utf-8",
    )
    manifest = {"runtime": "python", "model": {"modelName": "hello", "handler": "service:handle"}}
    (model / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest), encoding="utf-8")
    server_class = tmp_path / "store" / "doubler"
    (server_class / "MAR-INF").mkdir(parents=True)
    server_class.joinpath("doubler.py").write_text(MLRUN_CLASS, encoding="utf-8")
    manifest["model"] = {"modelName": "doubler", "handler": "doubler:Doubler"}
    (server_class / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest), encoding="utf-8")
    inference = tmp_path / "i.sock"
    tmp_path.joinpath("config.properties").write_text(
        f"inference_address=unix:{inference}\nmanagement_address=unix:{tmp_path / 'm.sock'}\n"
        f"model_store={model.parent}\nload_models=hello,doubler\ndefault_workers_per_model=1\n",
        encoding="utf-8",
    )
    with (tmp_path / "output.txt").open("wb") as output_file:
        process = subprocess.Popen(
            [sys.executable, "-c", "from mms.cli.multi_model_server import main; main()"]
            + ["--start", "--foreground", "--mms-config", "config.properties"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(installed), "TMPDIR": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            stdout=output_file,
            stderr=subprocess.STDOUT,
        )
    try:
        output = tmp_path / "output.txt"
        eventually(
            "it started or ended",
            lambda: "Model server started." in output.read_text() or process.poll() is not None,
            START_LIMIT_S,
        )
        assert process.poll() is None, output.read_text()
        yield inference
    finally:
        process.terminate()
        process.wait(20)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(str(self._path))


def test_a_server_from_the_wheel_predicts_outside_the_checkout(
    served: Path, installed: Path
) -> None:
    connection = UnixConnection(served)
    connection.request("POST", "/predictions/hello", b"x")
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    assert (answer.status, body) == (200, str(installed / "mms" / "__init__.py"))


TYPED_HANDLER = """
from __future__ import annotations

from typing import Any

from mms.context import Context
from mms.metrics.dimension import Dimension
from mms.model_service.model_service import SingleNodeService


def handle(data: list[dict[str, Any]] | None, context: Context) -> list[str]:
    context.metrics.add_counter("seen", 1, dimensions=[Dimension("Kind", "x")])
    context.metrics.add_time("load", 1.5, unit="ms")
    context.set_response_content_type(0, "text/plain")
    name: str = context.model_name
    return [name for _ in data or []]


class Legacy(SingleNodeService):
    def _inference(self, data: Any) -> Any:
        return data
"""


def test_a_typed_handler_passes_mypys_strict_rules_beside_the_wheel(
    installed: Path, tmp_path: Path
) -> None:
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=False, symlinks=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "installed.pth").write_text(f"{installed}\n")
    (tmp_path / "service.py").write_text(TYPED_HANDLER)
    python = environment / "bin" / "python"
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python)]
    finished = subprocess.run(
        [*command, "service.py"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert finished.returncode == 0, finished.stdout


def test_a_package_of_aws_in_the_same_environment_is_warned_about(
    served: Path,
) -> None:
    output = (served.parent / "output.txt").read_text(encoding="utf-8")
    (line,) = [line for line in output.splitlines() if "multi-model-server==1.1.11" in line]
    assert "WARN" in line
    assert "pip install --force-reinstall --no-deps marserve" in line


def test_a_class_of_mlruns_is_served_by_the_stand_in_of_the_wheel(
    served: Path, installed: Path
) -> None:
    def ask(method: str, operation: str, body: bytes | None = None) -> tuple[int, str]:
        connection = UnixConnection(served)
        connection.request(method, f"/v2/models/doubler/{operation}", body)
        answer = connection.getresponse()
        try:
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    status, body = ask("POST", "infer", b'{"inputs": [1, 2]}')
    assert (status, json.loads(body)["outputs"]) == (200, [2, 4])
    stand_in = (
        installed / "mms" / "interfaces" / "mlrun" / "packages" / "mlrun" / "mlrun" / "__init__.py"
    )
    assert ask("GET", "package") == (200, str(stand_in))


def test_a_fresh_environment_serves_with_what_pip_installed(
    wheel: Path, tmp_path: Path, is_full: bool
) -> None:
    if not is_full:
        pytest.skip("makes one more environment; the test above serves from the wheel")
    environment = tmp_path / "venv"
    # The dependencies are those of this environment, so that no index is asked.
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin" / "python"
    (packages,) = environment.glob("lib/python*/site-packages")
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    command += ["--no-deps", "--no-index", "--disable-pip-version-check", str(wheel)]
    finished = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert finished.returncode == 0, finished.stdout
    (packages / "dependencies.pth").write_text("\n".join(dependency_folders()))
    (tmp_path / "doubler.py").write_text(MLRUN_CLASS, encoding="utf-8")
    tmp_path.joinpath("ask.py").write_text(
        "import mlrun\n"
        "fn = mlrun.new_function('fresh', kind='serving', command='doubler.py')\n"
        "fn.add_model('doubler', '', class_name='Doubler')\n"
        "server = fn.to_mock_server()\n"
        "print(server.test('/v2/models/doubler/infer', {'inputs': [5]})['outputs'])\n"
        "print(server.test('/v2/models/doubler/package', method='GET'))\n",
        encoding="utf-8",
    )
    finished = subprocess.run(
        [str(environment / "bin" / "mms"), "mlrun", "run", "ask.py"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    outputs, place = finished.stdout.splitlines()[-2:]
    assert outputs == "[10]"
    assert place == str(
        packages / "mms" / "interfaces" / "mlrun" / "packages" / "mlrun" / "mlrun" / "__init__.py"
    )
    assert not (packages / "mlrun").exists()


def dependency_folders() -> list[str]:
    return [folder for folder in sys.path if folder.endswith(("site-packages", "dist-packages"))]
