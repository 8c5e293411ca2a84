"""The names that components import from Seldon's Python package; in workers where that is not installed."""

from __future__ import annotations

from ._elsewhere import make_modules
from .storage import Storage

#: By this the stand-in is told from Seldon's package.
mms_seldon_shim = True

#: The version whose names and behaviour these are.
__version__ = "1.17.1"

__all__ = ["Storage"]

make_modules("metadata", "microservice", "utils")
