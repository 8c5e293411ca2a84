"""Where the files are that bring the server into a cluster or onto a machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
CHART = DEPLOY / "helm" / "multi-model-server"
MANIFESTS = DEPLOY / "kubernetes"


def documents(path: Path) -> list[dict[str, Any]]:
    """Return the documents of a file of YAML."""
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def manifest(name: str) -> dict[str, Any]:
    """Return the object that a file of manifests describes."""
    (found,) = documents(MANIFESTS / f"{name}.yaml")
    return found
