"""One virtual environment per peer, below `.bench/venvs/`, with pinned packages."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.places import VENVS

_STAMP = "installed-by-bench.json"
_ADDED = "added-by-bench.txt"
_COMPILED = "compiled-by-bench.txt"
_LINES_SHOWN_ON_FAILURE = 15
# An installer that looks for versions which fit may look for hours; the other servers do not wait for that.
_TIMEOUT_S = 1200


class InstallationFailed(Exception):
    """Its text says which package could not be had, in the installer's own words."""


@dataclass(frozen=True)
class Venv:
    name: str

    @property
    def folder(self) -> Path:
        return VENVS / self.name

    @property
    def commands(self) -> Path:
        return self.folder / "bin"

    @property
    def python(self) -> Path:
        return self.commands / "python"

    def command(self, name: str) -> str:
        return str(self.commands / name)

    def site_packages(self) -> Path:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self.folder / "lib" / version / "site-packages"

    def versions(self) -> dict[str, str]:
        """Return the version of each installed package by its name."""
        listing = self._pip("list", "--format=json")
        return {row["name"].lower(): row["version"] for row in json.loads(listing)}

    def ensure(self, requirements: Sequence[str], without: Sequence[str] = ()) -> None:
        """Install exactly these, unless that has been done; of what they depend on, not the packages of `without`.

        Raises InstallationFailed.
        """
        parts = [sys.version, *requirements, *(f"without {name}" for name in without)]
        fingerprint = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        stamp = self.folder / _STAMP
        if stamp.is_file() and stamp.read_text(encoding="utf-8") == fingerprint:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        _run([sys.executable, "-m", "venv", str(self.folder)])
        if requirements:
            # Heeded as well where a package has to be built, in an environment of its own.
            constraints = self.folder / "constraints.txt"
            constraints.write_text("setuptools<81\n", encoding="utf-8")
            if without:
                self._install_without(without, requirements)
            else:
                self._pip("install", *requirements, PIP_CONSTRAINT=str(constraints))
        stamp.write_text(fingerprint, encoding="utf-8")

    def add(self, requirements: Sequence[str]) -> None:
        """Install these as well, beside what `ensure` has installed, unless that has been done."""
        stamp = self.folder / _ADDED
        text = "\n".join(requirements)
        if stamp.is_file() and stamp.read_text(encoding="utf-8") == text:
            return
        self._pip("install", *requirements)
        stamp.write_text(text, encoding="utf-8")

    def install_project(self, root: Path, *, is_compiled: bool = False) -> None:
        """Put the project in that folder into the environment as it stands now, as a user's installation would have it.

        A copy is built, since setuptools leaves its `build` folder beside the sources. To compile takes a minute, so
        that is left out where the sources are still those of the last time.
        """
        source = self.folder / "source"
        shutil.rmtree(source, ignore_errors=True)
        source.mkdir(parents=True)
        for name in ("mms", "archiver"):
            shutil.copytree(
                root / name, source / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
            if (root / name).is_file():
                shutil.copy(root / name, source)
        stamp, text = self.folder / _COMPILED, _fingerprint(source)
        if is_compiled and stamp.is_file() and stamp.read_text(encoding="utf-8") == text:
            shutil.rmtree(source)
            return
        stamp.unlink(missing_ok=True)
        options = ("--no-build-isolation", "--no-deps", "--force-reinstall")
        compiles = {"MMS_COMPILE": "1" if is_compiled else "0"}
        self._pip("install", *options, str(source), **compiles)
        if is_compiled:
            stamp.write_text(text, encoding="utf-8")
        shutil.rmtree(source)

    def _install_without(self, names: Sequence[str], requirements: Sequence[str]) -> None:
        """pip has no way to leave out what a package depends on; uv has overrides."""
        self._pip("install", "uv>=0.5")
        overrides = self.folder / "overrides.txt"
        lines = [f"{name}; sys_platform == 'none'\n" for name in names]
        overrides.write_text("".join(lines), encoding="utf-8")
        options = ["--python", str(self.python), "--overrides", str(overrides)]
        _run([self.command("uv"), "pip", "install", *options, *requirements])

    def _pip(self, command: str, *arguments: str, **variables: str) -> str:
        options = ["--disable-pip-version-check", "--no-input"]
        if command == "install":
            options += ["--progress-bar", "off"]
        return _run([str(self.python), "-m", "pip", command, *options, *arguments], **variables)


def _fingerprint(folder: Path) -> str:
    """Return what differs where a file below it does."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return found.hexdigest()


def _run(command: list[str], **variables: str) -> str:
    try:
        finished = subprocess.run(
            command,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **variables},
            timeout=_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise InstallationFailed(f"it took longer than {_TIMEOUT_S // 60} minutes") from None
    if finished.returncode != 0:
        lines = (finished.stdout + finished.stderr).strip().splitlines()
        raise InstallationFailed("\n".join(lines[-_LINES_SHOWN_ON_FAILURE:]))
    return finished.stdout
