"""The archive that our server, AWS's and TorchServe are given alike."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from benchmarks.places import MODELS

ARCHIVE_NAME = "bench.mar"
# The union of what the three servers ask for; each ignores what it does not know.
_MANIFEST = {
    "specificationVersion": "1.0",
    "implementationVersion": "1.0",
    "modelServerVersion": "1.0",
    "archiverVersion": "0.12.0",
    "createdOn": "01/01/2026 00:00:00",
    "description": "benchmark",
    "runtime": "python",
}


def build_archive(model_store: Path) -> Path:
    files = [MODELS / "archive_handler.py", MODELS / "work.py", MODELS / "real_models.py"]
    model = {"modelName": "bench", "modelVersion": "1.0", "handler": "archive_handler.py:handle"}
    model_store.mkdir(parents=True, exist_ok=True)
    target = model_store / ARCHIVE_NAME
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps({**_MANIFEST, "model": model}))
        for file in files:
            archive.write(file, file.name)
    return target
