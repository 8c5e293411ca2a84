"""`mms serve` as a user runs it, for the tests of what a new user does first."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.processes import free_port
from support.waiting import eventually

DEADLINE_S = 60.0


class Serving:
    """A started command. Its output goes to a file, so that it never waits for a reader."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / f"screen-{self.port}.out"
        with self._log.open("wb") as screen:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "mms.cli.mms", "serve", *words),
                    *("--port", str(self.port), "--management-port", "0"),
                ],
                stdout=screen,
                stderr=subprocess.STDOUT,
            )

    @property
    def screen(self) -> str:
        return self._log.read_text(errors="replace")

    def shows(self, pattern: str) -> None:
        """Wait until there is such a text on the screen."""
        eventually(f"{pattern!r} is on the screen", lambda: self._has(pattern))

    def _has(self, pattern: str) -> bool:
        if re.search(pattern, self.screen):
            return True
        assert self.process.poll() is None, self.screen
        return False

    def wait_ready(self) -> Serving:
        self.shows("Model server started")
        return self

    def call(self, body: str, name: str) -> str:
        """Return what the model answers to a body of JSON."""
        return curl(
            *(f"{self.url}/predictions/{name}", "-H", "Content-Type: application/json", "-d", body)
        )

    def try_it(self) -> str:
        """Return the answer to the command that the first lines name. It must have succeeded."""
        found = re.search(r"Try it +curl (.*)", self.screen)
        assert found is not None, self.screen
        return curl("--fail", *shlex.split(found[1]))


def curl(*words: str) -> str:
    done = subprocess.run(
        ["curl", "-sS", *words], capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


@contextmanager
def serving(folder: Path, *words: str) -> Iterator[Serving]:
    """Start the command, and end it by Ctrl-C; that it ends so is part of each test."""
    started = Serving(folder, *words)
    try:
        yield started
        if started.process.poll() is None:
            started.process.send_signal(signal.SIGINT)
            assert started.process.wait(DEADLINE_S) == 0, started.screen
    finally:
        if started.process.poll() is None:
            started.process.kill()
            started.process.wait()
