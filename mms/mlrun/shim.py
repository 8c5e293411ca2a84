"""The package `mlrun` for scripts and notebooks where MLRun's own is not installed."""

from __future__ import annotations

import importlib.util
import os
import sys

_FOLDER = os.path.join(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "shims", "mlrun"
)


def use_mlrun_shim() -> bool:
    """Make `import mlrun` work; whether it is this server's own package that is imported.

    An installed mlrun stays the one that is imported.
    """
    loaded = sys.modules.get("mlrun")
    file = getattr(loaded, "__file__", None)
    if file:
        return bool(file.startswith(_FOLDER))
    if loaded is not None:
        # Made of a folder of that name, which is no package; it would stay the one that is imported.
        del sys.modules["mlrun"]
    if _FOLDER in sys.path:
        return True
    spec = importlib.util.find_spec("mlrun")
    # A folder of that name without code is no package.
    if spec is not None and spec.origin is not None:
        return False
    sys.path.append(_FOLDER)
    importlib.invalidate_caches()
    return True
