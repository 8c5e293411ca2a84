"""The project's virtual environment `.venv`, which is created when missing and updated when it is old."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import deque
from pathlib import Path

from console import Steps

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
COMMANDS = VENV / "bin"
PYTHON = COMMANDS / "python"
# What the project was called before; both have commands of the same names.
_FORMER_NAME = "multi-model-server"
# Says what was installed, so that a second run need not ask the package index.
_STAMP = VENV / ".installed-by-scripts.json"
_LINES_SHOWN_ON_FAILURE = 30


class SetUpFailed(Exception):
    """Its text says what went wrong and what to do."""


def prepare(extras: tuple[str, ...], steps: Steps) -> None:
    """Make `.venv` hold the project, editable, with the dependencies of these extras.

    Raises SetUpFailed.
    """
    _ensure_interpreter(steps)
    fingerprint = _fingerprint()
    installed = _installed_extras(fingerprint)
    wanted = installed | set(extras)
    if installed == wanted:
        steps.done(".venv is up to date")
        return
    _install(sorted(wanted), steps)
    stamp = {"fingerprint": fingerprint, "extras": sorted(wanted)}
    _STAMP.write_text(json.dumps(stamp) + "\n", encoding="utf-8")
    steps.done("the project is installed in .venv")


def child_environment() -> dict[str, str]:
    """Return variables for the environment's commands, whose own programs come first."""
    environment = dict(os.environ)
    environment["PATH"] = f"{COMMANDS}{os.pathsep}{environment.get('PATH', os.defpath)}"
    environment["VIRTUAL_ENV"] = str(VENV)
    environment.pop("PYTHONHOME", None)
    return environment


def _ensure_interpreter(steps: Steps) -> None:
    """An environment that works is kept as it is; one whose interpreter is gone is made anew."""
    probe = "import importlib.util as u, sys; print(sys.version_info >= (3, 10), u.find_spec('pip') is not None)"
    try:
        found = subprocess.run([PYTHON, "-c", probe], capture_output=True, text=True)
    except OSError:
        return _create(steps)
    if found.returncode != 0:
        return _create(steps)
    is_new_enough, has_pip = (word == "True" for word in found.stdout.split())
    if not is_new_enough:
        raise SetUpFailed(f"{VENV} has a Python older than 3.10: move it away")
    if not has_pip:
        _run_quietly([str(PYTHON), "-m", "ensurepip"], f"pip could not be added to {VENV}")


def _create(steps: Steps) -> None:
    if VENV.exists() and not (VENV / "pyvenv.cfg").is_file():
        raise SetUpFailed(f"{VENV} is in the way and is no virtual environment: move it away")
    version = ".".join(map(str, sys.version_info[:3]))
    steps.line(f"creating .venv with Python {version}")
    # A base interpreter, for an environment that is made from another one would depend on it.
    interpreter = getattr(sys, "_base_executable", None) or sys.executable
    command = [interpreter, "-m", "venv", "--clear", str(VENV)]
    _run_quietly(command, f"{VENV} could not be made")


def _run_quietly(command: list[str], complaint: str) -> None:
    finished = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if finished.returncode != 0:
        raise SetUpFailed(f"{complaint}:\n{finished.stdout.rstrip()}")


def _fingerprint() -> str:
    """Return a text that changes with the requirements, the interpreter or the place."""
    digest = hashlib.sha256((ROOT / "pyproject.toml").read_bytes())
    digest.update((VENV / "pyvenv.cfg").read_bytes())
    digest.update(str(ROOT).encode())
    return digest.hexdigest()


def _installed_extras(fingerprint: str) -> set[str]:
    try:
        stamp = json.loads(_STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    return set(stamp["extras"]) if stamp.get("fingerprint") == fingerprint else set()


def _install(extras: list[str], steps: Steps) -> None:
    pip_command = [str(PYTHON), "-m", "pip"]
    former = [*pip_command, "uninstall", "--yes", "--quiet", _FORMER_NAME]
    _run_quietly(former, f"{_FORMER_NAME} could not be removed from {VENV}")
    target = f".[{','.join(extras)}]"
    steps.line(f"pip install -e '{target}' (minutes where the packages are not cached)")
    # Most modules of the packages are never imported: those that are get their bytecode then.
    command = [*pip_command, "install", "--disable-pip-version-check", "--no-input", "--no-compile"]
    command += ["--progress-bar", "off", "-e", target]
    last_lines: deque[str] = deque(maxlen=_LINES_SHOWN_ON_FAILURE)
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as pip:
        assert pip.stdout is not None
        try:
            for line in pip.stdout:
                last_lines.append(line.rstrip())
                if line.lstrip().startswith(("Collecting", "Downloading", "Installing")):
                    steps.detail(line.strip())
        except KeyboardInterrupt:
            pip.terminate()
            raise
    steps.clear_detail()
    if pip.returncode != 0:
        raise SetUpFailed("pip could not install the project:\n" + "\n".join(last_lines))
