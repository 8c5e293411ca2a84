"""This project at an earlier commit, so that a run shows what has become slower since."""

from __future__ import annotations

import subprocess
import tarfile
import tempfile
from pathlib import Path

from benchmarks.peers.ours import Ours
from benchmarks.places import ROOT
from benchmarks.venvs import InstallationFailed


class UnknownRevision(ValueError):
    """Git knows no such commit. The message is git's own."""


class Before(Ours):
    name = "before"
    title = "this server before"

    def __init__(self, revision: str) -> None:
        """Raises UnknownRevision."""
        found = _git("rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")
        if found.returncode != 0:
            reason = found.stderr.decode(errors="replace").strip()
            raise UnknownRevision(f"no commit is called {revision!r}: {reason}")
        self.commit = found.stdout.decode().strip()

    @property
    def asked_as(self) -> str:
        return Ours.name

    def install(self) -> None:
        packed = _git("archive", "--format=tar", self.commit)
        if packed.returncode != 0:
            raise InstallationFailed(packed.stderr.decode(errors="replace").strip())
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "project.tar"
            path.write_bytes(packed.stdout)
            with tarfile.open(path) as archive:
                archive.extractall(folder, filter="data")
            self.install_from(Path(folder))

    def version(self) -> str:
        return f"{super().version()}, {self.commit[:12]}"


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True)
