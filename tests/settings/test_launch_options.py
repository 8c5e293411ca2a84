"""What the launcher and the server process tell each other."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mms.processes.launch_options import ARGV_WORD, LaunchOptions

# What a command line can hold.
WORDS = st.text(st.characters(exclude_characters="\0", codec="utf-8"))


@given(
    st.builds(
        LaunchOptions,
        mms_config=st.none() | WORDS,
        model_store=st.none() | WORDS,
        models=st.lists(WORDS),
        log_config=st.none() | WORDS,
        pid_file=st.none() | WORDS,
    )
)
@example(LaunchOptions(models=["--"], settings={"a": "b=c", "": "--"}, is_by_hand=True))
def test_options_survive_the_command_line(options: LaunchOptions) -> None:
    assert LaunchOptions.from_argv(options.to_argv()) == options


def test_the_word_that_tools_look_for_comes_first() -> None:
    assert (
        LaunchOptions(models=["a"]).to_argv()[0] == "com.amazonaws.ml.mms.ModelServer" == ARGV_WORD
    )


@pytest.mark.parametrize("argv", [[], ["another.Word"], [ARGV_WORD, "--unknown"], [ARGV_WORD, "x"]])
def test_other_words_are_a_misuse(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        LaunchOptions.from_argv(argv)
    assert caught.value.code == 2


@pytest.fixture
def pipe() -> tuple[int, int]:
    """A pipe whose writing end belongs to the options under test."""
    return os.pipe()


def read_all(fd: int) -> str:
    with os.fdopen(fd, encoding="utf-8") as file:
        return file.read()


def test_the_server_reports_once_that_it_serves(pipe: tuple[int, int]) -> None:
    options = LaunchOptions(ready_fd=pipe[1])
    options.report_ready()
    options.report_ready()
    options.remove_pid_file()
    assert read_all(pipe[0]) == "ready\n"


def test_a_failure_is_reported_in_one_line(pipe: tuple[int, int]) -> None:
    LaunchOptions(ready_fd=pipe[1]).report_failed("no\n way: \udcff")
    assert read_all(pipe[0]) == "failed: no way: ?\n"


def test_a_launcher_that_is_gone_is_no_error(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    LaunchOptions(ready_fd=pipe[1]).report_ready()


def test_workers_do_not_inherit_the_pipe_to_the_launcher(pipe: tuple[int, int]) -> None:
    os.set_inheritable(pipe[1], True)
    LaunchOptions.from_argv([ARGV_WORD, f"--ready-fd={pipe[1]}"])
    assert not os.get_inheritable(pipe[1])
    for fd in pipe:
        os.close(fd)


def test_without_a_launcher_a_failure_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    LaunchOptions().report_failed("Invalid configuration: x")
    assert capfd.readouterr().out == "Invalid configuration: x\n"


def test_the_server_removes_its_own_pid_file_only(tmp_path: Path) -> None:
    own, foreign = tmp_path / "own", tmp_path / "foreign"
    own.write_text(str(os.getpid()))
    foreign.write_text("1")
    for path in (own, foreign, tmp_path / "absent"):
        LaunchOptions(pid_file=str(path)).remove_pid_file()
    assert not own.exists()
    assert foreign.read_text() == "1"
