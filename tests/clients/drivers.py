"""Seldon's clients as processes of their own: the real package's, and those of our package `seldon_core`."""

from __future__ import annotations

import base64
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
ORACLE = os.environ.get("SELDON_ORACLE_PYTHON", "")
PROGRAM_LIMIT_S = 60.0

needs_seldon = pytest.mark.skipif(
    not ORACLE, reason="SELDON_ORACLE_PYTHON names no Python with seldon-core 1.17.1"
)


class Driver:
    """One process of `client_driver.py`. `real`: with Seldon's package, else with ours."""

    def __init__(self, is_real: bool, log: Path) -> None:
        self.is_real = is_real
        self._log = log
        python = ORACLE if is_real else sys.executable
        environment = dict(os.environ)
        environment.pop("PYTHONPATH", None)
        if not is_real:
            paths = (
                str(ROOT / "mms" / "interfaces" / "seldon" / "packages" / "seldon_core"),
                str(ROOT),
            )
            environment["PYTHONPATH"] = os.pathsep.join(paths)
        with open(log, "wb") as errors:
            self._process = subprocess.Popen(
                [python, "-W", "ignore", str(FOLDER / "client_driver.py")],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._numbers = itertools.count()
        self.package = str(self._read().get("package"))

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self._log.read_text()
        found: dict[str, Any] = json.loads(line)
        return found

    def ask(self, call: str, made_with: dict[str, Any], **arguments: Any) -> dict[str, Any]:
        """The outcome of a call; its `number` is for `earlier` of a later one."""
        asked = {"call": call, "made_with": made_with, "arguments": arguments}
        assert self._process.stdin is not None
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        return {**self._read(), "number": next(self._numbers)}

    def stop(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


def array(*rows: object) -> dict[str, Any]:
    return {"array": list(rows)}


def some_bytes(content: bytes) -> dict[str, Any]:
    return {"bytes": base64.b64encode(content).decode()}


def run_program(name: str, *arguments: object, directory: Path) -> subprocess.CompletedProcess[str]:
    """A command of the real package, run to its end."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(Path(ORACLE).parent / name), *map(str, arguments)],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PROGRAM_LIMIT_S,
        check=False,
    )
