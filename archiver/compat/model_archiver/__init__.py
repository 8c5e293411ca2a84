"""The names of MMS's and TorchServe's packages `model_archiver`, kept for scripts that import it.

New code imports `archiver`.
"""

from __future__ import annotations

from archiver.torch import ModelArchiverConfig

from . import version

__all__ = ["ModelArchiverConfig"]

__version__ = version.__version__
