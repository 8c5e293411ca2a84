"""Helpers around MXNet. They import without it; a call needs it."""

from __future__ import annotations

import importlib
from typing import Any


class MXNetMissing(ImportError):
    """MXNet, or a package used with it, is needed by a call and is not installed."""


class Needed:
    """A package that is imported when the first of its names is used."""

    def __init__(self, package: str) -> None:
        self._package = package

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__version__":
            raise AttributeError(name)
        try:
            return getattr(importlib.import_module(self._package), name)
        except ImportError as error:
            top = self._package.partition(".")[0]
            raise MXNetMissing(
                f"this model uses {top}, which is not installed in the worker's Python ({error}). "
                "MXNet's last wheel installs on Python 3.11, in a venv of its own: pip install mxnet==1.9.1 "
                "numpy==1.23.5; the model gets that Python by runtime=/path/to/python"
            ) from None


mxnet: Any = Needed("mxnet")
numpy: Any = Needed("numpy")
