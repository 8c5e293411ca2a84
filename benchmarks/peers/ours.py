"""This project, as a user would install it, with its defaults: access log and metrics are on."""

from __future__ import annotations

import psutil

from benchmarks.deployment import Deployment, Load
from benchmarks.peers.mar_server import MarServer
from benchmarks.peers.peer import DIGITS_REQUIREMENTS, ensure_digits
from benchmarks.places import ROOT
from benchmarks.server import Site
from benchmarks.venvs import InstallationFailed

NAME = "ours"


class Ours(MarServer):
    name = NAME
    title = "this server"
    front = "Python (uvloop, httptools)"
    package = "multi-model-server"
    requirements = ("setuptools>=77",)
    response_timeout = "1"  # minutes

    def install(self) -> None:
        self.venv.ensure([*self.requirements, *project_dependencies(), *DIGITS_REQUIREMENTS])
        self.venv.install_checkout()
        ensure_digits(self.venv)

    def refuses(self, deployment: Deployment, load: Load | None) -> str | None:
        return None

    def command(self, site: Site, config: str) -> list[str]:
        command = [self.venv.command("multi-model-server"), "--start", "--foreground"]
        return [*command, "--mms-config", config, "--model-store", str(site.folder / "store")]

    def role(self, process: psutil.Process) -> str:
        command = process.cmdline()
        if "mms.worker" in command:
            return "worker"
        return "front" if "com.amazonaws.ml.mms.ModelServer" in command else "other"


def project_dependencies() -> list[str]:
    """The requirements of pyproject.toml, so that what users get is what is measured."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    start = text.find("\ndependencies = [")
    if start < 0:
        raise InstallationFailed("pyproject.toml has no list of dependencies")
    block = text[start : text.index("\n]", start)]
    lines = (line.strip().rstrip(",") for line in block.splitlines())
    return [line.strip('"') for line in lines if line.startswith('"')]
