"""Having a process copy what object stores and model registries hold."""

from __future__ import annotations

import json
import math
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any, Final

from mms.errors import DownloadFailed
from mms.repository.download import Cancellation, DownloadLimits, NotModified, ProgressLog

_HOME: Final = str(Path(__file__).resolve().parents[2])
# With `-m` the current folder would be searched for modules first.
_PROGRAM: Final = (
    "import sys; sys.path = sys.path['' in sys.path[:1]:]; home = sys.argv.pop(1)\n"
    "if home not in sys.path: sys.path.append(home)\n"
    "from mms.repository.remote_copy import main; sys.exit(main())"
)
_LAST_ERROR_BYTES: Final = 4096
_READ_BYTES: Final = 65536
#: How soon a cancellation is noticed, in seconds.
_POLL_S: Final = 0.2


def copy_remote(
    uri: str, target: Path, known: str, limits: DownloadLimits, cancellation: Cancellation
) -> str:
    """Copies what `uri` names into the new folder `target`; returns its fingerprint, empty where it has none.

    `known`: the fingerprint of what is there already, or empty. Blocks; to be called in a thread. Raises NotModified
    for what is known, DownloadFailed, Cancelled. What was written so far stays, for the caller to remove.
    """
    arguments = (_HOME, uri, str(target), str(limits.max_bytes), known)
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        ) as process,
    ):
        try:
            answer = _answer(process, uri, limits, cancellation)
        finally:
            if process.poll() is None:
                process.kill()
        process.wait()
        if answer.get("unchanged"):
            raise NotModified
        if "fingerprint" in answer:
            return str(answer["fingerprint"])
        reason = answer.get("error") or _last_line(errors) or f"exit code {process.returncode}"
    raise DownloadFailed(f"Failed to fetch {uri}: {reason}")


def _answer(
    process: subprocess.Popen[bytes], uri: str, limits: DownloadLimits, cancellation: Cancellation
) -> dict[str, Any]:
    """Return the last message, after the progress before it was logged; empty where the process ends without one."""
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    # Not select(), which takes no descriptor above 1023, and a busy server has those.
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    deadline = time.monotonic() + (limits.total_timeout_s or math.inf)
    progress: ProgressLog | None = None
    received = b""
    while True:
        cancellation.raise_if_set()
        if time.monotonic() > deadline:
            raise DownloadFailed(
                f"Failed to fetch {uri}: it took longer than {limits.total_timeout_s:g} seconds"
            )
        if not poller.poll(_POLL_S * 1000):
            continue
        chunk = os.read(descriptor, _READ_BYTES)
        if not chunk:
            return {}
        *lines, received = (received + chunk).split(b"\n")
        for line in lines:
            message: dict[str, Any] = json.loads(line)
            if "done_bytes" not in message:
                return message
            if progress is None:
                total_bytes = message["total_bytes"] or None
                progress = ProgressLog(
                    *(uri, total_bytes, limits.progress_interval_s, cancellation.progress)
                )
            progress.show(message["done_bytes"])


def _last_line(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - _LAST_ERROR_BYTES, 0))
    lines = file.read().decode("utf-8", "replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
