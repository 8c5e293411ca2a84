"""The manifest as the handler is given it: what the file says, no more."""

from __future__ import annotations

import json
import os
from typing import Any

MANIFEST = os.path.join("MAR-INF", "MANIFEST.json")
LEGACY_MANIFEST = "MANIFEST.json"


def read_manifest(model_dir: str, name: str) -> dict[str, Any] | None:
    """None where there is no such file. Raises ValueError for one that is no JSON object."""
    path = os.path.join(model_dir, name)
    if not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8-sig") as file:
        manifest = json.load(file)
    if not isinstance(manifest, dict):
        raise ValueError(f"{name} holds no JSON object")
    return manifest
