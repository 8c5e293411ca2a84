"""Having a process copy what object stores and model registries hold."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, Final

from mms.errors import DownloadFailed
from mms.repository.download import (
    Cancellation,
    Cancelled,
    DownloadLimits,
    NotModified,
    ProgressLog,
)

_HOME: Final = str(Path(__file__).resolve().parents[2])
# With `-m` the current folder would be searched for modules first.
_PROGRAM: Final = (
    "import sys; sys.path = sys.path['' in sys.path[:1]:]; home = sys.argv.pop(1)\n"
    "if home not in sys.path: sys.path.append(home)\n"
    "from mms.repository.remote_copy import main; sys.exit(main())"
)
_LAST_ERROR_BYTES: Final = 4096


def copy_remote(
    uri: str, target: Path, known: str, limits: DownloadLimits, cancellation: Cancellation
) -> str:
    """Copies what `uri` names into the new folder `target`; returns its fingerprint, empty where it has none.

    `known`: the fingerprint of what is there already, or empty. Blocks; to be called in a thread. Raises NotModified
    for what is known, DownloadFailed, Cancelled. What was written so far stays, for the caller to remove.
    """
    try:
        return asyncio.run(_copy(uri, target, known, limits, cancellation))
    except asyncio.CancelledError:
        raise Cancelled from None
    except asyncio.TimeoutError:
        raise DownloadFailed(
            f"Failed to fetch {uri}: it was not done in {limits.total_timeout_s:g} seconds"
        ) from None


async def _copy(
    uri: str, target: Path, known: str, limits: DownloadLimits, cancellation: Cancellation
) -> str:
    task: asyncio.Task[str] | None = asyncio.current_task()
    if task is not None:
        cancellation.watch(task)
    try:
        return await asyncio.wait_for(_run(uri, target, known, limits), limits.total_timeout_s)
    finally:
        cancellation.unwatch()


async def _run(uri: str, target: Path, known: str, limits: DownloadLimits) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PROGRAM, _HOME, uri, str(target), str(limits.max_bytes), known),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    errors = asyncio.create_task(_last_bytes(process.stderr))
    try:
        answer = await _answer(process, uri, limits)
        last = await errors
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        errors.cancel()
    if answer.get("unchanged"):
        raise NotModified
    if "fingerprint" in answer:
        return str(answer["fingerprint"])
    reason = answer.get("error") or _last_line(last) or f"it ended with {process.returncode}"
    raise DownloadFailed(f"Failed to fetch {uri}: {reason}")


async def _answer(
    process: asyncio.subprocess.Process, uri: str, limits: DownloadLimits
) -> dict[str, Any]:
    """The last message, after the progress before it was logged."""
    assert process.stdout is not None
    progress: ProgressLog | None = None
    answer: dict[str, Any] = {}
    async for line in process.stdout:
        message = json.loads(line)
        if "done_bytes" not in message:
            answer = message
            continue
        if progress is None:
            progress = ProgressLog(uri, message["total_bytes"] or None, limits.progress_interval_s)
        progress.show(message["done_bytes"])
    return answer


async def _last_bytes(stream: asyncio.StreamReader) -> bytes:
    last = b""
    while chunk := await stream.read(65536):
        last = (last + chunk)[-_LAST_ERROR_BYTES:]
    return last


def _last_line(output: bytes) -> str:
    lines = output.decode("utf-8", "replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
