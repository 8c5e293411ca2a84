"""What the image runs, tried without an engine: its entry point, its health check, its configuration."""

from __future__ import annotations

import http.server
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENTRY_POINT = ROOT / "docker" / "dockerd-entrypoint.sh"
HEALTH_CHECK = ROOT / "docker" / "health_check.py"


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """A folder with server commands that say how they were called and by which process."""
    for name in ("multi-model-server", "mxnet-model-server"):
        command = tmp_path / name
        command.write_text('#!/bin/sh\necho $$ "$(basename "$0")" "$@"\n', encoding="utf-8")
        command.chmod(0o755)
    return tmp_path


def run_entry_point(commands: Path, *arguments: str) -> tuple[int, str]:
    """(process id of the entry point, what was run)."""
    process = subprocess.Popen(
        [str(ENTRY_POINT), *arguments],
        env=os.environ | {"PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    return process.pid, output.strip()


@pytest.mark.parametrize("arguments", [(), ("serve",)])
def test_serve_becomes_the_server_in_the_foreground(
    commands: Path, arguments: tuple[str, ...]
) -> None:
    pid, output = run_entry_point(commands, *arguments)
    # The same process: a SIGTERM for the container's first process is one for the server.
    expected = "multi-model-server --start --foreground --mms-config config.properties"
    assert output == f"{pid} {expected}"


def test_serve_hands_further_options_to_the_server(commands: Path) -> None:
    _, output = run_entry_point(commands, "serve", "--models", "a=b c.mar")
    assert output.endswith("--mms-config config.properties --models a=b c.mar")


@pytest.mark.parametrize("command", ["multi-model-server", "mxnet-model-server"])
def test_a_server_started_in_the_background_is_kept_in_the_foreground(
    commands: Path, command: str
) -> None:
    pid, output = run_entry_point(commands, command, "--start", "--models", "m.mar")
    assert output == f"{pid} {command} --start --models m.mar --foreground"


@pytest.mark.parametrize("option", ["--stop", "--help", "--foreground"])
def test_a_server_command_that_ends_or_waits_by_itself_is_left_as_it_is(
    commands: Path, option: str
) -> None:
    pid, output = run_entry_point(commands, "multi-model-server", option)
    assert output == f"{pid} multi-model-server {option}"


def test_one_argument_with_blanks_is_a_line_for_the_shell(commands: Path) -> None:
    _, output = run_entry_point(commands, "echo one && echo two")
    assert output.split() == ["one", "two"]


def test_any_other_command_is_run_with_its_arguments_untouched(commands: Path) -> None:
    program = "import sys; print(sys.argv[1:])"
    _, output = run_entry_point(commands, sys.executable, "-c", program, "a b", "")
    assert output == "['a b', '']"


@pytest.fixture
def health_url() -> Iterator[str]:
    """The address of a server whose path's first word is its health, or is no health at all."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            word = self.path.strip("/").replace("-", " ")
            body = json.dumps({"status": word}).encode() if word != "other" else b"hello"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test's output clean."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "exit_code"),
    [("Healthy", 0), ("Partial-Healthy", 0), ("Unhealthy", 1), ("other", 1)],
)
def test_the_health_check_fails_where_no_model_can_be_served(
    health_url: str, path: str, exit_code: int
) -> None:
    finished = subprocess.run(
        [sys.executable, str(HEALTH_CHECK)],
        env=os.environ | {"HEALTH_CHECK_URL": f"{health_url}/{path}"},
        capture_output=True,
        timeout=20,
    )
    assert finished.returncode == exit_code, finished


def test_the_health_check_fails_where_nothing_listens() -> None:
    finished = subprocess.run(
        [sys.executable, str(HEALTH_CHECK)],
        env=os.environ | {"HEALTH_CHECK_URL": "http://127.0.0.1:1/ping"},
        capture_output=True,
        timeout=20,
    )
    assert finished.returncode == 1
    assert finished.stderr == b""


@pytest.mark.parametrize(
    "dockerfile", sorted((ROOT / "examples").rglob("Dockerfile")), ids=lambda path: path.parent.name
)
def test_an_examples_image_is_built_on_the_server_s_from_its_own_folder(dockerfile: Path) -> None:
    text = dockerfile.read_text(encoding="utf-8")
    assert re.findall(r"^FROM (.*)$", text, re.MULTILINE) == ["marserve"]
    sources = re.findall(r"^COPY (?:--\S+ )*(\S+) ", text, re.MULTILINE)
    assert [source for source in sources if not (dockerfile.parent / source).exists()] == []


def test_the_image_copies_every_file_that_it_names() -> None:
    """`.dockerignore` lets only what is listed into the build."""
    let_in = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }
    for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines():
        if not line.startswith("COPY") or "--from" in line:
            continue
        *sources, _target = [word for word in line.split()[1:] if not word.startswith("--")]
        for source in sources:
            assert (ROOT / source).exists(), line
            assert source.split("/")[0] in let_in, line
