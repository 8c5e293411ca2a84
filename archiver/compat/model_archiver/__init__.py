"""The names of MMS's package `model_archiver`, kept for scripts that import it. New code imports `archiver`."""

from __future__ import annotations

from . import version

__version__ = version.__version__
