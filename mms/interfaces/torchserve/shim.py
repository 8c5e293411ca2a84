"""The package `ts` for tests of handlers where TorchServe's own is not installed."""

from __future__ import annotations

from mms.interfaces.torchserve.interface import TORCHSERVE


def use_ts_shim() -> bool:
    """Make `import ts` work; return whether it is this server's own one. An installed one stays what is imported."""
    (package,) = TORCHSERVE.packages
    return package.use()
