"""Which interface a model's code is written to, as its source in the archive shows it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from archiver.detection import Detected, detect
from mms.interfaces import AUTO
from mms.serving.served import ServedModel
from mms.text.python_source import MAX_SOURCE_BYTES


async def detect_interface(served: ServedModel) -> None:
    """Set what manifest and source settle; a worker finds out the rest when it has imported the code."""
    has_old_manifest = served.manifest.is_legacy
    if served.is_composite or (served.interface != AUTO and not has_old_manifest):
        return
    found = await asyncio.to_thread(
        _detect,
        served.handler,
        served.archive.folder,
        served.manifest.to_dict(),
        has_old_manifest=has_old_manifest,
    )
    if found.is_certain:
        served.interface = found.interface.name
        served.options = replace(served.options, interface=served.interface)


def _detect(
    handler: str, folder: Path, manifest: Mapping[str, Any], *, has_old_manifest: bool
) -> Detected:
    def read(name: str) -> bytes | None:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            return None
        file = folder / path
        try:
            if not file.is_file():
                return None
            if file.stat().st_size > MAX_SOURCE_BYTES:
                return b"\0"  # which no parser takes: it is not settled
            return file.read_bytes()
        except OSError:
            return None

    return detect(handler, read, has_old_manifest=has_old_manifest, manifest=manifest)
