"""Imports of libraries that not every installation has."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from mms.prepackaged.errors import ModelNotLoaded


class MissingLibrary(ImportError):
    """A library that the server needs is not installed for the worker's interpreter."""

    #: As that of `ModelNotLoaded`.
    says_all = True


def import_library(name: str, extra: str) -> ModuleType:
    """Return the module `name`, which the extra `extra` of this project installs. Raises MissingLibrary."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # Installed, but one of its own dependencies is not, is another matter; the error names it.
        if error.name is None or error.name.partition(".")[0] != name.partition(".")[0]:
            raise
        raise MissingLibrary(
            f"{name} is not installed for {sys.executable}, which runs this model's workers: "
            f'pip install "marserve[{extra}]"',
            name=name,
        ) from error


@contextmanager
def reading(file: Path, expected: str) -> Iterator[None]:
    """Has what a library raises while it reads the file name the file and what it should hold."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModelNotLoaded(
            f"{file} needs the module {error.name}, which is not installed for {sys.executable}"
        ) from error
    except (ModelNotLoaded, MissingLibrary, MemoryError):
        raise
    except Exception as error:
        reason = _first_line(error)
        raise ModelNotLoaded(f"{file} could not be loaded as {expected}: {reason}") from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
