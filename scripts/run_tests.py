"""Sets up `.venv`, then runs the checks one after the other and stops at the first that fails.

Started by `scripts/test`. Arguments go to pytest: `scripts/test -k archive -x`.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from console import INDENT, Steps
from environment import PYTHON, ROOT, SetUpFailed, child_environment, prepare

EXTRAS = ("test", "demo", "ocr")
TYPED = ("mms", "archiver", "scripts", "docker")
# Each example's files import each other by plain names, as they do in an archive.
TYPED_EXAMPLES = ("examples/digits", "examples/model_handler", "examples/ocr")


def stages(pytest_arguments: list[str]) -> list[tuple[str, list[list[str]]]]:
    """Return (title, commands) of each stage after the set-up."""
    return [
        ("format: ruff format --check", [["ruff", "format", "--check", "."]]),
        ("lint: ruff check", [["ruff", "check", "."]]),
        (
            "types: mypy",
            [
                ["mypy", *TYPED],
                # What runs in the peers' environments imports what is installed there alone.
                ["mypy", "benchmarks", "--exclude", "^benchmarks/models/"],
                *(["mypy", folder] for folder in TYPED_EXAMPLES),
            ],
        ),
        # In units of a calibration of its own, so that it holds on a busy machine.
        ("speed: what a request costs the front", [["benchmarks", "--gate"]]),
        # Five processes for two cores, as tests wait for more than half of their time; those of one file share what
        # it starts.
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


@contextmanager
def collected_once(pytest_arguments: list[str], environment: dict[str, str]) -> Iterator[None]:
    """Write the tests' bytecode meanwhile, which each of pytest's processes would else make for itself.

    The stages before the tests leave a core idle. The tests' own stage shows errors of the collection.
    """
    collecting = subprocess.Popen(
        [str(PYTHON), "-m", "pytest", "--collect-only", "--quiet", *pytest_arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        collecting.kill()
        collecting.wait()


def main() -> int:
    work = stages(sys.argv[1:])
    steps = Steps(1 + len(work))
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
    with collected_once(sys.argv[1:], environment):
        exit_code = run(work, steps, environment)
    if exit_code == 0:
        print(f"{INDENT}all stages passed in {time.monotonic() - started_at:.0f} s")
    return exit_code


def run(work: list[tuple[str, list[list[str]]]], steps: Steps, environment: dict[str, str]) -> int:
    """Return the exit code of the first command that fails."""
    for title, commands in work:
        steps.start(title)
        for command in commands:
            finished = subprocess.run(
                [str(PYTHON), "-m", *command], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL
            )
            if finished.returncode != 0:
                name = title.partition(":")[0]
                print(
                    f"Stopped: the stage '{name}' failed (exit code {finished.returncode}).",
                    file=sys.stderr,
                )
                return finished.returncode if finished.returncode > 0 else 1
        steps.done()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
