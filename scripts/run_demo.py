"""The demo: trains a model, packs it, serves it, calls it, and shows what came back.

Started by `scripts/demo`. Needs nothing but Python's own library itself: what it does with the model is
done by the commands of `.venv`, as a user would type them.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

from console import INDENT, Steps
from demo_server import DemoServer, ServerFailed, choose_ports
from environment import COMMANDS, PYTHON, ROOT, SetUpFailed, child_environment, prepare

# Everything that is generated goes here; git ignores it.
BUILD = ROOT / ".demo"
STEP_COUNT = 6


class StepFailed(Exception):
    """Its text says what went wrong."""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="Train a classifier of handwritten digits, pack it, serve it and call it.",
    )
    parser.add_argument("--once", action="store_true", help="stop after the table of predictions")
    is_once = parser.parse_args().once
    # Ctrl-C too: where it was ignored, as in a shell's background, Python leaves it so.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        is_ok = run(is_once)
    except (SetUpFailed, StepFailed, ServerFailed) as error:
        print(f"\n{error}", file=sys.stderr)
        if BUILD.exists():
            print(f"What was made is left in {_shown(BUILD)} for a look.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        _remove_build()
        return 130
    _remove_build()
    return 0 if is_ok else 1


def run(is_once: bool) -> bool:
    """Run the demo; return whether every image got an answer."""
    steps = Steps(STEP_COUNT)
    model_dir = BUILD / "model"
    images_dir = BUILD / "images"
    model_store = BUILD / "model-store"
    archive = model_store / "digits.mar"

    steps.start("Set-up: .venv with the project and scikit-learn")
    prepare(("demo",), steps)
    _remove_build()
    model_store.mkdir(parents=True)

    steps.start("Training a classifier on scikit-learn's handwritten digits")
    _run(
        [str(PYTHON), "examples/digits/train.py"]
        + ["--model-dir", _relative(model_dir), "--images-dir", _relative(images_dir)],
        steps,
    )
    steps.done()

    steps.start("Packing it into an archive")
    _run(
        [str(COMMANDS / "model-archiver"), "--model-name", "digits"]
        + ["--model-path", _relative(model_dir), "--handler", "digits_handler"]
        + ["--export-path", _relative(model_store)],
        steps,
    )
    steps.done(f"{_relative(archive)}, {archive.stat().st_size / 1024:.0f} KiB")

    steps.start("Starting the server")
    inference_port, management_port, notes = choose_ports()
    for note in notes:
        steps.line(note)
    server = DemoServer(BUILD, model_store, inference_port, management_port)
    steps.line("$ " + server.command_line())
    try:
        server.start()
        server.wait_until_ready(steps)
        steps.done(f"ready at http://127.0.0.1:{inference_port}")

        steps.start("Sending held-out images to POST /predictions/digits")
        is_ok = _predict(server, images_dir)
        steps.done()

        steps.start("How to call it")
        _show_calls(inference_port, management_port, images_dir)
        if not is_once:
            _serve_until_interrupted(server)
    finally:
        server.stop()
    return is_ok


def _serve_until_interrupted(server: DemoServer) -> None:
    try:
        print("\nServing until Ctrl-C.", flush=True)
        server.wait_until_it_ends()
    except KeyboardInterrupt:
        print("\nStopping.", flush=True)
        return
    raise ServerFailed(f"The server ended by itself. {server.last_output()}")


def _predict(server: DemoServer, images_dir: Path) -> bool:
    print(f"\n{INDENT}{'image':<14}{'prediction':>10}{'truth':>8}{'latency':>12}")
    right = answered = 0
    latencies_ms = []
    files = sorted(images_dir.glob("*.json"))
    for file in files:
        truth = int(file.stem.rpartition("-")[2])
        status, body, latency_s = server.predict(file.read_bytes())
        if status != 200:
            print(f"{INDENT}{file.name:<14}{'failed':>10}{truth:>8}   {status}: {body.decode()}")
            continue
        digit = json.loads(body)["digit"]
        answered += 1
        right += digit == truth
        latencies_ms.append(latency_s * 1000)
        mark = "" if digit == truth else "   wrong"
        print(f"{INDENT}{file.name:<14}{digit:>10}{truth:>8}{latencies_ms[-1]:>9.2f} ms{mark}")
    print(f"\n{INDENT}{right} of {len(files)} are right", flush=True)
    return answered == len(files)


def _show_calls(inference_port: int, management_port: int, images_dir: Path) -> None:
    image = _shown(sorted(images_dir.glob("*.json"))[0])
    print(
        f"""
  A prediction:
    curl -X POST http://127.0.0.1:{inference_port}/predictions/digits \\
         -H "Content-Type: application/json" -d @{shlex.quote(image)}
  The model and its workers:
    curl http://127.0.0.1:{management_port}/models/digits
  More workers:
    curl -X PUT "http://127.0.0.1:{management_port}/models/digits?min_worker=3&synchronous=true\"""",
        flush=True,
    )


def _run(command: list[str], steps: Steps) -> None:
    words = [Path(command[0]).name, *command[1:]]
    steps.line("$ " + shlex.join(words))
    finished = subprocess.run(
        command,
        cwd=ROOT,
        env=child_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if finished.returncode != 0:
        raise StepFailed(
            f"'{shlex.join(words)}' failed with exit code {finished.returncode}:\n"
            f"{finished.stdout.rstrip()}"
        )
    for line in finished.stdout.splitlines():
        steps.line(line)


def _remove_build() -> None:
    shutil.rmtree(BUILD, ignore_errors=True)


def _relative(path: Path) -> str:
    return os.path.relpath(path, ROOT)


def _shown(path: Path) -> str:
    """Return a path as the user would type it: relative if the current folder is the project or above it."""
    shown = os.path.relpath(path)
    return str(path) if shown.startswith("..") else shown


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
