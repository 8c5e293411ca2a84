"""The time that a start may take, what is told meanwhile, and that the launcher itself takes little."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from mms.cli import starting
from mms.cli.multi_model_server import main
from mms.processes.launch_options import ARGV_WORD, LaunchOptions

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"aiohttp", "asyncio", "click", "httptools", "numpy", "orjson", "psutil", "rich"} | {
    *("uvloop", "yaml", "mms.settings", "mms.server")
}
LIMIT_S = 15.0


@pytest.fixture
def hanging_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that says nothing, and would live on for longer than a test may take."""

    def command(options: LaunchOptions) -> list[str]:
        return [sys.executable, "-S", "-c", "import time; time.sleep(100)", ARGV_WORD]

    monkeypatch.setattr(starting, "server_command", command)


@pytest.mark.usefixtures("hanging_server")
def test_a_start_that_takes_too_long_fails_and_leaves_nothing(
    folder: Path, pid_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "config.properties").write_text("start_timeout_s=0.2\n")
    before = psutil.Process().children()
    began = time.monotonic()
    assert main(["--start"]) == 1
    assert 0.2 <= time.monotonic() - began < LIMIT_S
    assert capsys.readouterr() == (
        "The server was not up after 0.2 seconds and has been stopped; start_timeout_s sets the limit.\n",
        "",
    )
    assert not pid_file.exists()
    assert [child for child in psutil.Process().children() if child not in before] == []


class Terminal:
    """Standard error that says to be a terminal, or not to be one."""

    def __init__(self, is_terminal: bool) -> None:
        self._is_terminal = is_terminal
        self.text = ""

    def isatty(self) -> bool:
        return self._is_terminal

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        return


@pytest.mark.usefixtures("hanging_server")
@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_terminal_alone_is_told_that_a_start_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, is_terminal: bool
) -> None:
    (folder / "config.properties").write_text("start_timeout_s=0.2\n")
    monkeypatch.setattr(starting, "_PROGRESS_S", 0.05)
    told = Terminal(is_terminal)
    monkeypatch.setattr(sys, "stderr", told)
    assert main(["--start"]) == 1
    assert ("Waiting for the server to come up" in told.text) is is_terminal


@pytest.mark.parametrize("text", ["", "start_timeout_s=0", "start_timeout_s=soon"])
def test_without_a_limit_or_with_a_wrong_one_only_the_server_ends_a_start(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str,
) -> None:
    def command(options: LaunchOptions) -> list[str]:
        program = f"import os; os.write({options.ready_fd}, b'failed: its own words')"
        return [sys.executable, "-S", "-c", program, ARGV_WORD]

    monkeypatch.setattr(starting, "server_command", command)
    config = folder / "config.properties"
    config.write_text(text)
    options = LaunchOptions(mms_config=str(config))
    assert starting._start_timeout_s(options) == float("inf")
    assert main(["--start"]) == 1
    assert capsys.readouterr().out == "its own words\n"


def test_the_launcher_imports_nothing_that_takes_long() -> None:
    program = "import sys, mms.cli.multi_model_server; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    printed = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert HEAVY & set(printed.stdout.split()) == set()


def test_a_server_imports_neither_a_yaml_parser_nor_what_packs_archives_before_it_needs_them() -> (
    None
):
    program = "import sys, mms.server, mms.http; print(*sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    modules = printed.stdout.split()
    assert "mms.http" in modules
    assert {"yaml", "archiver.packing", "numpy"} & set(modules) == set()


def test_a_start_searches_for_no_garbage_until_the_server_is_up() -> None:
    program = starting.server_command(LaunchOptions())[2].partition("from mms.server")[0]
    program += (
        "print(gc.isenabled()); from mms.processes import garbage; "
        "garbage.collect_from_now_on(); print(gc.isenabled(), gc.get_freeze_count() > 1000)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert printed.stdout.split() == ["False", "True", "True"]
