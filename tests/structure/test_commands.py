"""The two commands of `scripts/`: what they promise besides the work itself."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.processes import free_port

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"

# The demo in this environment instead of `.venv`, with its build folder elsewhere, on ports of its own.
DEMO = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv.pop(1))
import environment
environment.PYTHON = Path(sys.executable)
environment.COMMANDS = Path(sys.executable).parent
import demo_server, run_demo
demo_server.INFERENCE_PORT = int(sys.argv.pop(1))
demo_server.MANAGEMENT_PORT = int(sys.argv.pop(1))
run_demo.BUILD = Path(sys.argv.pop(1))
run_demo.prepare = lambda extras, steps: None
sys.exit(run_demo.main())
"""

# Nothing of it is done but to decide whether to go on serving.
DEMO_IN_WORDS = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv.pop(1))
import run_demo
run_demo.BUILD = Path(sys.argv.pop(1))
run_demo.prepare = lambda extras, steps: None
run_demo._run = lambda command, steps: (run_demo.BUILD / "model-store/digits.mar").touch()
class Server:
    def __init__(self, *_):
        pass
    def __getattr__(self, name):
        return lambda *_: print(name) or ""
    def wait_until_it_ends(self):
        print("wait_until_it_ends")
        raise KeyboardInterrupt
run_demo.DemoServer = Server
run_demo._predict = lambda *_: True
run_demo._show_calls = lambda *_: None
sys.exit(run_demo.main())
"""

STOPPING_CHECKS = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import run_tests
run_tests.prepare = lambda extras, steps: None
run_tests.PYTHON = sys.executable
run_tests.stages = lambda arguments: [
    ("first: passes", [["this"]]), ("second: fails", [["no.such.module"]]), ("third: unused", [["this"]]),
]
sys.exit(run_tests.main())
"""


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port on which another program listens."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def test_the_demo_serves_on_another_port_until_ctrl_c_and_leaves_nothing(
    tmp_path: Path, taken_port: int, is_full: bool
) -> None:
    if not is_full:
        pytest.skip(
            "trains, packs and serves; the demo's steps are those of examples/digits, which is tested"
        )
    build = tmp_path / "build"
    demo = subprocess.Popen(
        [sys.executable, "-c", DEMO, str(SCRIPTS), str(taken_port), str(free_port()), str(build)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    started: list[psutil.Process] = []
    try:
        assert demo.stdout is not None
        output = ""
        for line in demo.stdout:
            output += line
            if line.startswith("Serving until Ctrl-C"):
                break
        assert "[6/6]" in output, output
        assert f"port {taken_port} is taken, using 18" in output
        assert "12 of 12 are right" in output or "11 of 12 are right" in output
        assert "curl -X POST http://127.0.0.1:18" in output
        started = psutil.Process(demo.pid).children(recursive=True)
        assert len(started) >= 2, output  # the server and a worker at least
        demo.send_signal(signal.SIGINT)
        assert demo.wait(30) == 0, demo.stdout.read()
        _, alive = psutil.wait_procs(started, timeout=20)
        assert alive == []
        assert not build.exists()
    finally:
        demo.kill()
        for process in started:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        demo.communicate()


@pytest.mark.parametrize(("options", "waits"), [((), True), (("--once",), False)])
def test_the_demo_goes_on_serving_unless_it_runs_once(
    tmp_path: Path, options: tuple[str, ...], waits: bool
) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", DEMO_IN_WORDS, str(SCRIPTS), str(tmp_path / "build"), *options],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ("wait_until_it_ends" in finished.stdout.split()) is waits, finished
    assert finished.stdout.split()[-1] == "stop"
    assert not (tmp_path / "build").exists()


def test_the_checks_stop_at_the_first_that_fails_and_name_it() -> None:
    finished = subprocess.run(
        [sys.executable, "-c", STOPPING_CHECKS, str(SCRIPTS)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert finished.returncode == 1
    assert "[3/4] second: fails" in finished.stdout
    assert "third" not in finished.stdout
    assert "Stopped: the stage 'second' failed (exit code 1)." in finished.stderr


def find_python(folder: Path, **interpreters: str) -> subprocess.CompletedProcess[str]:
    """Run the search with nothing on PATH but these shell scripts."""
    for name, body in interpreters.items():
        file = folder / name
        file.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        file.chmod(0o755)
    script = f'. "{SCRIPTS}/find_python.sh"; find_python /nowhere && echo "found $python"'
    return subprocess.run(
        ["/bin/sh", "-c", script], env={"PATH": str(folder)}, capture_output=True, text=True
    )


def test_a_python_that_is_too_old_is_passed_over(tmp_path: Path) -> None:
    finished = find_python(tmp_path, python3="exit 1", **{"python3.11": "exit 0"})
    assert finished.stdout == "found python3.11\n"


def test_without_a_new_enough_python_the_message_says_which_is_needed(tmp_path: Path) -> None:
    finished = find_python(tmp_path, python3="exit 1")
    assert finished.returncode != 0
    assert "Python 3.10 or newer is needed" in finished.stderr


def test_a_python_without_venv_is_named_with_the_package_to_install(tmp_path: Path) -> None:
    finished = find_python(tmp_path, python3='case "$2" in *ensurepip*) exit 1;; esac')
    assert finished.returncode != 0
    assert "python3 cannot make virtual environments" in finished.stderr
    assert "apt install python3-venv" in finished.stderr


def test_continuous_integration_runs_the_same_checks() -> None:
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "scripts/test" in text
    for command in (ROOT / ".ci" / "run", SCRIPTS / "test", SCRIPTS / "demo"):
        assert os.access(command, os.X_OK), f"{command} is not executable"
