"""`mms logs`: which lines it shows, and how."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mms.cli.mms import main

from .fake_server import FakeServer, fake_server


def line(message: str, level: str = "INFO", worker: str = "W-m-0") -> dict[str, Any]:
    return {
        "number": 1,
        "time": "2026-11-30T22:50:14,105",
        "level": level,
        "modelName": "m",
        "worker": worker,
        "stream": "stdout",
        "logger": "l",
        "message": message,
    }


LINES = [line("one"), line("two\x1b[31m\tx", "WARN"), line("three", "ERROR", worker="")]


@pytest.fixture
def server(folder: Path) -> Iterator[FakeServer]:
    with fake_server(folder / "s") as server:
        server.answers["GET /models/m/logs"] = server.answers["GET /logs"] = (200, {"lines": LINES})
        yield server


def run(server: FakeServer, *argv: str) -> Any:
    return CliRunner().invoke(main, ["logs", *argv, "--management", server.address])


def test_the_newest_lines_of_a_model_are_shown(server: FakeServer) -> None:
    assert run(server, "m", "-n", "3").output.splitlines() == [
        "2026-11-30T22:50:14,105 INFO  W-m-0  one",
        "2026-11-30T22:50:14,105 WARN  W-m-0  two\N{REPLACEMENT CHARACTER}[31m x",
        "2026-11-30T22:50:14,105 ERROR server  three",
    ]
    assert server.asked[0].path == "/models/m/logs?lines=3"


def test_lines_of_all_models_name_theirs(server: FakeServer) -> None:
    assert run(server).output.splitlines()[-1].endswith("ERROR m  three")


def test_lines_below_a_level_are_left_out(server: FakeServer) -> None:
    shown = run(server, "m", "--level", "error", "--json").output.splitlines()
    assert [json.loads(text)["message"] for text in shown] == ["three"]


def test_lines_are_followed_until_the_server_stops(server: FakeServer) -> None:
    followed = b"".join(json.dumps(each).encode() + b"\n" for each in LINES)
    server.answers["GET /models/m/logs"] = (200, followed + b'\n{"lost": true}\n')
    result = run(server, "-f", "m")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 4
    assert result.stdout.splitlines()[-1].startswith("... lines are missing here")
    assert result.stderr == "The server has stopped.\n"
    assert server.asked[0].path == "/models/m/logs?lines=100&follow=true"


def test_a_model_that_is_not_there_is_an_error(server: FakeServer) -> None:
    result = run(server, "other")
    assert (result.exit_code, "404" in result.stderr) == (1, True)
