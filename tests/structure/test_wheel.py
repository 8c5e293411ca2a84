"""The wheel: built from a copy of the tree, it holds everything and serves outside the checkout."""

from __future__ import annotations

import configparser
import http.client
import importlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILT_FROM = ("archiver", "mms", "pyproject.toml", "README.md", "LICENSE")
START_LIMIT_S = 30.0


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
    """A folder with the wheel's packages alone; the dependencies are those of this environment."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
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


@pytest.fixture
def served(installed: Path, tmp_path: Path) -> Iterator[Path]:
    """The inference socket of a server that runs from the wheel, with the model `hello` in it."""
    model = tmp_path / "store" / "hello"
    (model / "MAR-INF").mkdir(parents=True)
    model.joinpath("service.py").write_text(
        "import mms\n\n\ndef handle(data, context):\n    return [mms.__file__ for _ in data or []]\n",
        encoding="utf-8",
    )
    manifest = {"runtime": "python", "model": {"modelName": "hello", "handler": "service:handle"}}
    (model / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest), encoding="utf-8")
    inference = tmp_path / "i.sock"
    tmp_path.joinpath("config.properties").write_text(
        f"inference_address=unix:{inference}\nmanagement_address=unix:{tmp_path / 'm.sock'}\n"
        f"model_store={model.parent}\nload_models=hello\ndefault_workers_per_model=1\n",
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
        deadline = time.monotonic() + START_LIMIT_S
        output = ""
        while "Model server started." not in output:
            output = (tmp_path / "output.txt").read_text(encoding="utf-8")
            assert process.poll() is None, output
            assert time.monotonic() < deadline, output
            time.sleep(0.05)
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
