"""Sets up `.venv`, then runs the checks in their order and stops at the first that fails.

Started by `scripts/test`. Arguments go to pytest: `scripts/test -k archive -x`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

from console import INDENT, Steps
from environment import PYTHON, ROOT, SetUpFailed, child_environment, prepare

EXTRAS = ("test", "demo", "ocr")
TYPED = ("mms", "archiver", "scripts", "docker")
# Each example's files import each other by plain names, as they do in an archive.
TYPED_EXAMPLES = ("examples/digits", "examples/model_handler", "examples/ocr")
# What the tests get to end what they started where the stage before them fails, in seconds.
_INTERRUPTED_S = 30

#: Title and commands.
Stage: TypeAlias = "tuple[str, list[list[str]]]"


class StageFailed(Exception):
    def __init__(self, title: str, exit_code: int) -> None:
        super().__init__(
            f"Stopped: the stage '{title.partition(':')[0]}' failed (exit code {exit_code})."
        )
        # That of a process which a signal ended is negative.
        self.exit_code = exit_code if exit_code > 0 else 1


def stages(pytest_arguments: list[str]) -> list[Stage]:
    """Return the stages after the set-up. The last one runs beside the others, and is shown after them."""
    return [
        ("format: ruff format --check", [["ruff", "format", "--check", "."]]),
        ("lint: ruff check", [["ruff", "check", "."]]),
        # In units of a calibration of its own, so that it holds on a busy machine.
        ("speed: what a request costs the front", [["benchmarks", "--gate"]]),
        (
            "types: mypy",
            [
                ["mypy", *TYPED],
                # What runs in the peers' environments imports what is installed there alone.
                ["mypy", "benchmarks", "--exclude", "^benchmarks/models/"],
                *(["mypy", folder] for folder in TYPED_EXAMPLES),
            ],
        ),
        # Five processes for two cores, as tests wait for more than half of their time; those of one file share what it
        # starts.
        (
            "tests: pytest",
            [
                [
                    "pytest",
                    "-n",
                    "5",
                    "--dist",
                    "loadfile",
                    "--no-loadscope-reorder",
                    *pytest_arguments,
                ]
            ],
        ),
    ]


def main() -> int:
    *checks, tests = stages(sys.argv[1:])
    steps = Steps(1 + len(checks) + 1)
    started_at = time.monotonic()
    steps.start("set-up: .venv")
    try:
        prepare(EXTRAS, steps)
    except SetUpFailed as error:
        print(error, file=sys.stderr)
        print("Stopped: the stage 'set-up' failed.", file=sys.stderr)
        return 1
    environment = child_environment()
    # Some machines have it set. Tests are parsed in several processes and in every run.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        with started_unseen(tests, sys.argv[1:], environment) as running:
            for stage in checks:
                run(stage, steps, environment)
            show(tests, running, steps)
    except StageFailed as failure:
        print(failure, file=sys.stderr)
        return failure.exit_code
    print(f"{INDENT}all stages passed in {time.monotonic() - started_at:.0f} s")
    return 0


def run(stage: Stage, steps: Steps, environment: dict[str, str]) -> None:
    """Raises StageFailed for the first command that fails."""
    title, commands = stage
    steps.start(title)
    for command in commands:
        finished = subprocess.run(
            [str(PYTHON), "-m", *command], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL
        )
        if finished.returncode != 0:
            raise StageFailed(title, finished.returncode)
    steps.done()


@contextmanager
def started_unseen(
    stage: Stage, pytest_arguments: list[str], environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Import the tests, then start the stage of one command. What it writes waits in its pipe.

    The import writes the tests' bytecode, which each of pytest's processes would else make for itself. Its errors
    are shown by the stage. All is interrupted where an exception comes meanwhile.
    """
    _, [command] = stage
    environment = {**environment, "COLUMNS": str(shutil.get_terminal_size().columns)}
    if sys.stdout.isatty():
        environment.setdefault("PY_COLORS", "1")
    importing = subprocess.Popen(
        [str(PYTHON), "-m", "pytest", "--import-only", "--quiet", *pytest_arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert importing.stdout is not None
    running = subprocess.Popen(
        [
            *("sh", "-c", 'cat >/dev/null; exec "$@" </dev/null', "sh"),
            *(str(PYTHON), "-m", *command),
        ],
        cwd=ROOT,
        env=environment,
        stdin=importing.stdout,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    importing.stdout.close()
    try:
        yield running
    except BaseException:
        running.send_signal(signal.SIGINT)
        importing.kill()
        try:
            running.communicate(timeout=_INTERRUPTED_S)
        except subprocess.TimeoutExpired:
            running.kill()
            running.communicate()
        raise
    finally:
        importing.wait()


def show(stage: Stage, running: subprocess.Popen[bytes], steps: Steps) -> None:
    """Show what was written so far, and what comes, until the end. Raises StageFailed."""
    title, _ = stage
    steps.start(title)
    assert running.stdout is not None
    output = running.stdout.fileno()
    while data := os.read(output, 65536):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    if running.wait() != 0:
        raise StageFailed(title, running.returncode)
    steps.done()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
