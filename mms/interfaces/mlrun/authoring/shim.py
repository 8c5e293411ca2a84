"""The package `mlrun` for scripts and notebooks where MLRun's own is not installed."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

_SHIMS = str(Path(__file__).resolve().parents[3] / "shims")
_FOLDER = os.path.join(_SHIMS, "mlrun")
#: What is imported beside it: the steps of flows, and in notebooks what once deployed them.
COMPANIONS = ("storey", "nuclio")


def use_mlrun_shim() -> bool:
    """Make `import mlrun` work, and its companions' imports; whether it is this server's own mlrun that is imported.

    Installed packages stay those that are imported.
    """
    loaded = sys.modules.get("mlrun")
    file = getattr(loaded, "__file__", None)
    if file:
        return bool(file.startswith(_FOLDER))
    if loaded is not None:
        # Made of a folder of that name, which is no package; it would stay the one that is imported.
        del sys.modules["mlrun"]
    if _FOLDER not in sys.path:
        if _is_installed("mlrun"):
            return False
        sys.path.append(_FOLDER)
    for package in COMPANIONS:
        if not _is_installed(package):
            sys.path.append(os.path.join(_SHIMS, package))
    importlib.invalidate_caches()
    return True


def _is_installed(package: str) -> bool:
    spec = importlib.util.find_spec(package)
    # A folder of that name without code is no package.
    return spec is not None and spec.origin is not None
