"""Every Dockerfile of the project and its pages is built by Buildah: with `--full`, where Buildah and mmdebstrap are.

Nothing is fetched but Debian's packages and wheels: the base image is a Debian with Python, tagged as the official one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("docs/docker.md", "docs/microservice.md")
_SUITE = "bookworm"
#: That suite's Python, whose wheels the images install.
_PYTHON = "3.11"
_PACKAGES = ("python3", "python3-venv", "python3-pip", "ca-certificates")
_MODEL = "class Model:\n    def predict(self, X, names, meta=None):\n        return X\n"

pytestmark = [
    pytest.mark.timeout(1200),
    pytest.mark.skipif(
        shutil.which("buildah") is None or shutil.which("mmdebstrap") is None or os.getuid() != 0,
        reason="needs Buildah, mmdebstrap and the user root",
    ),
]


@pytest.fixture(scope="module")
def builder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Builder]:
    if not request.config.getoption("--full"):
        pytest.skip("takes minutes, and runs with --full")
    builder = Builder(tmp_path_factory.mktemp("images"))
    builder.make_base("docker.io/library/python:3.12-slim")
    builder.build("marserve", ROOT, ROOT / "Dockerfile")
    yield builder
    shutil.rmtree(builder.folder, ignore_errors=True)


class Builder:
    """Buildah with a store of its own, in which images find wheels in place of a package index."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environment = os.environ | {"STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}

    def run(self, *arguments: str) -> str:
        """A command of Buildah; what it printed."""
        store = ["--root", str(self.folder / "store"), "--runroot", str(self.folder / "run")]
        finished = subprocess.run(
            ["buildah", *store, *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert finished.returncode == 0, finished.stdout
        return finished.stdout.strip()

    def make_base(self, name: str) -> None:
        tree = self.folder / "base.tar"
        included = f"--include={','.join(_PACKAGES)}"
        command = ["mmdebstrap", "--variant=minbase", "--mode=root", included, _SUITE, str(tree)]
        subprocess.run(command, check=True, capture_output=True)
        container = self.run("from", "scratch").splitlines()[-1]
        self.run("add", "-q", container, str(tree), "/")
        # As in the official image: `python`, and a pip that installs where it is told to.
        adjust = "ln -sf python3 /usr/bin/python; rm -f /usr/lib/python3*/EXTERNALLY-MANAGED"
        self.run("run", container, "--", "sh", "-c", adjust)
        path = "PATH=/usr/local/bin:/usr/bin:/usr/local/sbin:/usr/sbin:/bin:/sbin"
        self.run("config", "--env", path, "--cmd", "python3", container)
        self.run("commit", "-q", container, name)
        self._fetch_wheels()

    def _fetch_wheels(self) -> None:
        text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        wanted = []
        for name in ("dependencies", "grpc"):
            (listed,) = re.findall(rf"^{name} = \[(.*?)\]$", text, re.MULTILINE | re.DOTALL)
            wanted += re.findall(r'"([^"]+)"', listed)
        for platform in ("manylinux2014", "manylinux_2_28"):
            wanted += ["--platform", f"{platform}_{os.uname().machine}"]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:"]
        command += ["--python-version", _PYTHON, "--dest", str(self.folder / "wheels")]
        subprocess.run([*command, *wanted, "setuptools>=77"], check=True, capture_output=True)
        config = "[global]\nno-index = true\nfind-links = /wheels\n"
        (self.folder / "pip.conf").write_text(config, encoding="utf-8")

    def build(self, name: str, context: Path, dockerfile: Path) -> None:
        mounted = (f"{self.folder}/wheels:/wheels:ro", f"{self.folder}/pip.conf:/etc/pip.conf:ro")
        volumes = [option for volume in mounted for option in ("--volume", volume)]
        # The format docker has health checks.
        options = ["-q", "--format", "docker", "--pull-never", *volumes]
        self.run("bud", *options, "-t", name, "-f", str(dockerfile), str(context))

    def says(self, image: str, *command: str) -> str:
        """What a command in a new container of the image prints, run as the image's user."""
        container = self.run("from", "--pull-never", image).splitlines()[-1]
        return self.run("run", container, "--", *command)


def test_the_image_has_the_server_and_its_user(builder: Builder) -> None:
    from mms import __version__

    entry_point = "/usr/local/bin/dockerd-entrypoint.sh"
    said = builder.says("marserve", entry_point, "multi-model-server --version; id -u")
    assert said.splitlines()[-2:] == [f"{__version__} (pure Python)", "1000"]


def test_the_image_serves_until_it_is_told_to_end(builder: Builder) -> None:
    where = "MMS_INFERENCE_ADDRESS=unix:/tmp/i.sock MMS_MANAGEMENT_ADDRESS=unix:/tmp/m.sock"
    script = f"{where} timeout 15 /usr/local/bin/dockerd-entrypoint.sh serve || true"
    said = builder.says("marserve", "sh", "-c", script)
    assert "Model server started." in said
    assert "Model server stopped." in said


@pytest.mark.parametrize(
    "dockerfile", sorted((ROOT / "examples").rglob("Dockerfile")), ids=lambda path: path.parent.name
)
def test_an_example_s_image_is_built_and_has_its_command(
    builder: Builder, dockerfile: Path
) -> None:
    builder.build("example", dockerfile.parent, dockerfile)
    assert "--service-type" in builder.says("example", "mms", "microservice", "--help")
    assert "grpc" in builder.says("example", "python", "-c", "import grpc; print(grpc.__name__)")


@pytest.mark.parametrize("page", PAGES)
def test_the_dockerfile_of_a_page_is_built(builder: Builder, page: str, tmp_path: Path) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```dockerfile\n(FROM .*?)^```", text, re.MULTILINE | re.DOTALL)
    # What the image of a user would have besides is not this project's to fetch.
    shown = shown.replace("onnxruntime numpy pillow scipy", "numpy")
    (tmp_path / "Dockerfile").write_text(shown, encoding="utf-8")
    (tmp_path / "ocr.mar").touch()
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "Model.py").write_text(_MODEL, encoding="utf-8")
    (tmp_path / "server" / "requirements.txt").write_text("numpy\n", encoding="utf-8")
    builder.build("page", tmp_path, tmp_path / "Dockerfile")
