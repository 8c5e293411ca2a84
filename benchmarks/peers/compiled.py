"""This project with its hot path compiled, as `MMS_COMPILE=1 pip install .` makes it."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.ours import Ours


class Compiled(Ours):
    name = "compiled"
    title = "this server, compiled"
    requirements = (*Ours.requirements, "mypy>=1.13", "types-psutil>=5.9", "types-PyYAML>=6.0")

    @property
    def asked_as(self) -> str:
        return Ours.name

    def install_project(self, root: Path) -> None:
        self.venv.install_project(root, is_compiled=True)
