"""`mms profile` on a worker that is a process of the test's, and where that cannot be done."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from mms.cli.watch import profile

BUSY = "import time\nprint('up', flush=True)\nwhile True:\n    sum(range(1000))\n"


@pytest.fixture
def busy() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    yield process.pid
    process.kill()
    process.wait()
    process.stdout.close()


def workers(*pids: int, status: str = "READY") -> list[dict[str, Any]]:
    return [{"id": f"9{index}", "pid": pid, "status": status} for index, pid in enumerate(pids)]


def test_a_busy_worker_is_taken_before_others() -> None:
    found = workers(0, 11) + [{"id": "x", "pid": 12, "status": "BUSY"}]
    assert profile._worker_of(found, "m", None)["pid"] == 12
    assert profile._worker_of(found, "m", "91")["pid"] == 11
    assert profile._worker_of(found, "m", "12")["pid"] == 12


@pytest.mark.parametrize("wanted", [None, "7"])
def test_a_worker_that_does_not_run_is_said(wanted: str | None) -> None:
    with pytest.raises(click.ClickException, match=r"No worker|no running worker '7'"):
        profile._worker_of(workers(0), "m", wanted)


def test_a_process_of_another_machine_is_none() -> None:
    assert not profile._is_worker(2**22 + 1)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Error: Permission Denied: Try running again with elevated permissions", "as root"),
        ("Error: Operation not permitted (os error 1)", "SYS_PTRACE"),
        ("Error: No stack counts found", "--idle"),
        ("Error: odd", "py-spy failed: Error: odd"),
    ],
)
def test_what_went_wrong_says_what_to_do(said: str, shown: str) -> None:
    assert shown in profile._problem(said, 1)


def test_what_was_drawn_is_told_as_json_on_request(
    busy: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: list[str], timeout_s: float) -> tuple[int, str]:
        Path(command[command.index("--output") + 1]).write_text("<svg/>")
        return 0, ""

    described = {"workers": workers(busy)}
    client = SimpleNamespace(models=SimpleNamespace(describe=lambda name, version: described))
    monkeypatch.setattr(profile, "_py_spy", lambda: "py-spy")
    monkeypatch.setattr(profile, "_is_worker", lambda pid: True)
    monkeypatch.setattr(profile, "_run", run)
    output = tmp_path / "out.svg"
    command = profile.profile.callback
    assert command is not None
    shown: list[Any] = []
    monkeypatch.setattr(profile, "print_json", shown.append)
    options = {"version": None, "worker": None, "rate": 100, "idle": False, "native": False}
    inspect.unwrap(command)(client, "m", duration=1, output=output, is_json=True, **options)
    assert shown == [
        {
            "modelName": "m",
            "workerId": "90",
            "pid": busy,
            "duration_s": 1,
            "file": str(output),
            "format": "flamegraph",
        }
    ]


def test_a_flame_graph_is_drawn(busy: int, tmp_path: Path) -> None:
    try:
        program = profile._py_spy()
    except click.ClickException:
        pytest.skip('needs pip install "marserve[profile]"')
    output = tmp_path / "out.svg"
    code, text = profile._run(
        [program, "record", "--pid", str(busy), "--duration", "1", "--output", str(output)], 60
    )
    if code and "as root" in profile._problem(text, busy):
        pytest.skip("this machine lets no process trace another one")
    assert code == 0, text
    assert "<svg" in output.read_text()
