"""A folder of its own for each command, and processes that stand in for servers."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from mms.processes.launch_options import ARGV_WORD

DEADLINE_S = 20.0


@pytest.fixture(autouse=True)
def ended_servers() -> Iterator[None]:
    """Collects the servers that a test has started and ended; the launcher, here this process, leaves them."""
    before = {child.pid for child in psutil.Process().children()}
    yield
    for child in psutil.Process().children():
        if child.pid not in before and child.status() == psutil.STATUS_ZOMBIE:
            os.waitpid(child.pid, 0)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, the temporary folder, and that of logs; no MMS variables are set."""
    monkeypatch.chdir(tmp_path)
    for name in ("TMPDIR", "LOG_LOCATION", "METRICS_LOCATION"):
        monkeypatch.setenv(name, str(tmp_path))
    for name in ("TEMP", "MMS_CONFIG_FILE", "MODEL_SERVER_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@pytest.fixture
def pid_file(folder: Path) -> Path:
    return folder / ".model_server.pid"


StandIn = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    """`stand_in(program, *words)`: a process with a server's word among its arguments, which has begun its program."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(program: str, *words: str, is_server: bool = True) -> subprocess.Popen[bytes]:
        code = f"{program}; import time; print(flush=True); time.sleep({DEADLINE_S})"
        argv = [sys.executable, "-S", "-c", code, *([ARGV_WORD] if is_server else []), *words]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE)
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()
