"""`mms new`: what it writes runs as it is."""

from __future__ import annotations

import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner

from mms.cli.mms import main
from mms.cli.new.kinds import KINDS

from .serving import serving

ROOT = Path(__file__).resolve().parents[2]


def write(name: str, kind: str) -> None:
    result = CliRunner().invoke(main, ["new", name, "--kind", kind])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("kind", KINDS)
def test_the_test_passes_and_the_served_model_answers(folder: Path, kind: str) -> None:
    write("my-model", kind)

    def run_test() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "my-model"],
            cwd=folder,
            env={"PYTHONPATH": str(ROOT), "PATH": ""},
            capture_output=True,
            text=True,
            timeout=60,
        )

    with ThreadPoolExecutor() as threads:
        tested = threads.submit(run_test)
        with serving(folder, "my-model") as server:
            answer = server.wait_ready().try_it()
            argv = ["predict", "my-model", "-f", "my-model/sample_request.json"]
            shown = CliRunner().invoke(main, [*argv, "--inference", server.url])
    assert "".join(KINDS[kind].answer.split()) in "".join(answer.split())
    assert "".join(KINDS[kind].answer.split()) in "".join(shown.output.split())
    assert "1 passed" in tested.result().stdout, tested.result()


def test_a_folder_with_something_in_it_is_left_alone(folder: Path) -> None:
    (folder / "m").mkdir()
    (folder / "m" / "mine.py").write_text("x = 1")
    result = CliRunner().invoke(main, ["new", "m"])
    assert result.exit_code == 1
    assert "m is not empty" in result.output
    assert [file.name for file in (folder / "m").iterdir()] == ["mine.py"]


@pytest.mark.parametrize("name", ["my model", "..", "a/..", "-x", "a/-x"])
def test_a_name_that_no_model_can_have_is_refused(folder: Path, name: str) -> None:
    result = CliRunner().invoke(main, ["new", "--", name])
    assert result.exit_code == 2
    assert list(folder.iterdir()) == []


def test_a_folder_that_looks_like_an_option_is_shown_so_that_it_can_be_typed(folder: Path) -> None:
    result = CliRunner().invoke(main, ["new", "--", "-models/m"])
    assert "mms serve ./-models/m --reload" in result.output
    assert (folder / "-models" / "m" / "README.md").exists()


def test_the_commands_that_are_shown_hold_for_a_folder_with_blanks(folder: Path) -> None:
    result = CliRunner().invoke(main, ["new", "my models/m"])
    readme = (folder / "my models" / "m" / "README.md").read_text()
    shown = [
        shlex.split(line)
        for line in f"{result.output}\n{readme}".splitlines()
        if "my models" in line
    ]
    starts = [words for words in shown if words[:1] in (["mms"], ["pytest"], ["model-archiver"])]
    assert len(starts) == 6
    for words in starts:
        assert any(word.startswith("my models/m") for word in words), words
