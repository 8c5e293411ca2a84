"""The package `mlrun` for scripts and notebooks where MLRun's own is not installed."""

from __future__ import annotations

from mms.interfaces.mlrun.interface import MLRUN


def use_mlrun_shim() -> bool:
    """Make `import mlrun` work, and its companions' imports; whether it is this server's own mlrun that is imported.

    Installed packages stay those that are imported.
    """
    own, *companions = MLRUN.packages
    if not own.use():
        return False
    for package in companions:
        package.use()
    return True
