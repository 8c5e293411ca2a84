"""Which interface a model's code is written to, as its source in the archive shows it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path, PurePosixPath

from archiver.source import certain_interface
from mms.serving.served.served_model import ServedModel

#: A longer handler is left to its worker: its parser would hold up the front.
_MAX_SOURCE_BYTES = 100_000


async def detect_interface(served: ServedModel) -> None:
    """Set what the source settles; a worker finds out the rest when it has imported the code."""
    is_open = served.interface == "auto" and served.graph is None
    if not is_open or served.manifest.is_legacy or served.is_worker_graph:
        return
    found = await asyncio.to_thread(_read_interface, served.handler, served.archive.folder)
    if found is not None:
        served.interface = found
        served.options = replace(served.options, interface=found)


def _read_interface(handler: str, folder: Path) -> str | None:
    def read(name: str) -> bytes | None:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            return None
        file = folder / path
        try:
            if not file.is_file():
                return None
            if file.stat().st_size > _MAX_SOURCE_BYTES:
                return b"\0"  # which no parser takes: it is not settled
            return file.read_bytes()
        except OSError:
            return None

    return certain_interface(handler, read)
