"""One run at a time: two would spoil each other's figures, and replace each other's installations."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class AnotherRun(Exception):
    """Its text names the process that is measuring."""


@contextmanager
def sole_run(folder: Path) -> Iterator[None]:
    """Hold the folder for this process. Raises AnotherRun while another process holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise AnotherRun(f"process {file.read().strip()} is measuring; wait for it") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
