"""The package `mlrun` for scripts and notebooks where MLRun's own is not installed."""

from __future__ import annotations

import importlib
import sys

from mms.interfaces.mlrun.interface import MLRUN


def use_mlrun_shim() -> bool:
    """Make `import mlrun` work, and its companions' imports; whether it is this server's own mlrun that is imported.

    Installed packages stay those that are imported.
    """
    own, *companions = MLRUN.packages
    loaded = sys.modules.get(own.name)
    file = getattr(loaded, "__file__", None)
    if file:
        return bool(file.startswith(own.folder))
    if loaded is not None:
        # Made of a folder of that name, which is no package; it would stay the one that is imported.
        del sys.modules[own.name]
    if own.folder not in sys.path:
        if own.is_installed():
            return False
        sys.path.append(own.folder)
    for package in companions:
        if not package.is_installed():
            sys.path.append(package.folder)
    importlib.invalidate_caches()
    return True
