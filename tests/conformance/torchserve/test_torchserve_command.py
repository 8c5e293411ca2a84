"""The command `torchserve`: what it starts and stops, and what it says."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .conftest import COMMAND, TorchServe, archive


@pytest.fixture
def server(tmp_path: Path) -> TorchServe:
    """One that is not started; it has the files, the ports and the environment of one."""
    found = TorchServe(tmp_path / "served")
    archive(found.store, "echo")
    return found


def run(server: TorchServe, *words: str, **environment: str) -> tuple[int, str]:
    """Run the command in the folder of a server; return its exit code and what it has said."""
    ran = subprocess.run(
        [*COMMAND, *words],
        cwd=server.directory,
        env=server.environment | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    return ran.returncode, ran.stdout


def test_a_server_in_the_background_is_started_once_and_stopped(server: TorchServe) -> None:
    config = ("--ts-config", str(server.config_file), "--ncs", "--models", "echo.mar")
    log = server.directory / "started.txt"
    with log.open("w") as output:
        # Its log goes where the command's output went, which stays open for as long as it runs.
        code = subprocess.run(
            [*COMMAND, "--start", *config],
            cwd=server.directory,
            env=server.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=60,
        ).returncode
    try:
        assert code == 0, log.read_text()
        assert "Model server started." in log.read_text()
        tokens = server.directory / "key_file.json"
        assert tokens.is_file()
        code, said = run(server, "--start", *config)
        already = (
            "TorchServe is already running, please use torchserve --stop to stop TorchServe.\n"
        )
        assert (code, said) == (1, already)
        assert run(server, "--stop") == (0, "TorchServe has stopped.\n")
        assert not tokens.exists()
        assert run(server, "--stop", "--foreground") == (
            0,
            "TorchServe is not currently running.\n",
        )
    finally:
        run(server, "--stop")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Missing mandatory parameter --model-store"),
        (("--model-store", "absent"), "--model-store directory not found: absent"),
        (("--ts-config", "absent"), "--ts-config file not found: absent"),
        (
            ("--model-store", ".", "--workflow-store", "absent"),
            "--workflow-store directory not found: absent",
        ),
    ],
)
def test_what_is_missing_is_told_in_torchserve_s_words(
    server: TorchServe, words: tuple[str, ...], said: str
) -> None:
    assert run(server, "--start", *words) == (1, f"{said}\n")


def test_a_flag_that_there_is_none_of_has_the_nearest_one_named(server: TorchServe) -> None:
    code, said = run(server, "--enable-model-apis")
    assert (code, "did you mean --enable-model-api?" in said) == (2, True)


def test_the_version_is_torchserve_s_with_this_server_behind_it(server: TorchServe) -> None:
    code, said = run(server, "--version")
    first, second = said.splitlines()
    assert (code, first) == (0, "TorchServe Version is 0.12.0")
    assert second.startswith("in its place: marserve ")
