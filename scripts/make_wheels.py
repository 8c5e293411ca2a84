"""Builds the project's wheels into `dist/`: the pure one, and for each Python one whose hot path is compiled.

Each is built from a copy of the sources, installed into an environment of its own, and asked for its version and for
what a server imports. Started by `scripts/wheels`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from console import Steps
from environment import ROOT

#: What a wheel is made from.
SOURCES = ("archiver", "mms", "pyproject.toml", "setup.py", "README.md", "LICENSE")
PURE, COMPILED = "pure Python", "compiled"


class WheelFailed(Exception):
    """Its text is the failed command with its last output."""


def build(python: str, form: str, into: Path, *, is_isolated: bool = True) -> Path:
    """Build a wheel and return it. `is_isolated`: with build tools of its own, from the package index."""
    with tempfile.TemporaryDirectory() as folder:
        source, built = Path(folder, "source"), Path(folder, "built")
        source.mkdir()
        for name in SOURCES:
            if (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.so")
                shutil.copytree(ROOT / name, source / name, ignore=ignored)
            else:
                shutil.copy2(ROOT / name, source / name)
        options = ["--no-deps", "--quiet", "--wheel-dir", str(built)]
        if not is_isolated:
            options.append("--no-build-isolation")
        environment = {**os.environ, "MMS_COMPILE": "1" if form == COMPILED else "0"}
        _run([python, "-m", "pip", "wheel", *options, str(source)], environment)
        (wheel,) = built.glob("*.whl")
        into.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy2(wheel, into / wheel.name))


def check(python: str, wheel: Path, form: str) -> None:
    """Install a wheel as a user would. Raises WheelFailed where it cannot be imported, or has another form."""
    with tempfile.TemporaryDirectory() as folder:
        _run([python, "-m", "venv", folder])
        commands = Path(folder, "bin")
        _run([str(commands / "python"), "-m", "pip", "install", "--quiet", str(wheel)])
        said = _run([str(commands / "multi-model-server"), "--version"])
        if f"({form})" not in said:
            raise WheelFailed(f"{wheel.name} says that it is {said.strip()}, not {form}")
        _run([str(commands / "python"), "-c", "import mms.server"])


def _run(command: Sequence[str], environment: dict[str, str] | None = None) -> str:
    """Return what a command prints. Raises WheelFailed."""
    # Not from the checkout, whose packages would come first.
    run = subprocess.run(
        command, env=environment, cwd=tempfile.gettempdir(), capture_output=True, text=True
    )
    if run.returncode != 0:
        said = "\n".join((run.stdout + run.stderr).splitlines()[-30:])
        raise WheelFailed(f"{' '.join(command)} failed:\n{said}")
    return run.stdout


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--python",
        action="append",
        metavar="PATH",
        help="A Python to compile for; may be given more than once. Default: the one that runs this.",
    )
    parser.add_argument("--output", type=Path, default=ROOT / "dist", metavar="FOLDER")
    arguments = parser.parse_args()
    pythons: list[str] = arguments.python or [sys.executable]
    work = [(pythons[0], PURE), *((python, COMPILED) for python in pythons)]
    steps = Steps(len(work))
    for python, form in work:
        steps.start(f"{form}, {python}")
        try:
            wheel = build(python, form, arguments.output)
            check(python, wheel, form)
        except WheelFailed as error:
            print(error, file=sys.stderr)
            return 1
        steps.done(str(wheel))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
